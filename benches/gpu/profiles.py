"""The four profiles for a large GPU, and their environment variables."""
from dataclasses import dataclass, replace

DRY_SHAPE, DRY_BATCH = "64,1,2,2,80,51865", 4


@dataclass(frozen=True)
class Profile:
    name: str
    shape: str
    batch_size: int
    batch_window_ms: int
    max_queue_size: int
    max_concurrent_requests: int

    def settings(self, device, compute_type):
        return {
            "WHISPER__INFERENCE_DEVICE": device,
            "WHISPER__COMPUTE_TYPE": compute_type,
            "WHISPER__DEVICE_INDEX": "0",
            "WHISPER__BATCH_SIZE": str(self.batch_size),
            "WHISPER__BATCH_WINDOW_MS": str(self.batch_window_ms),
            "WHISPER__MAX_QUEUE_SIZE": str(self.max_queue_size),
            "WHISPER__MAX_CONCURRENT_REQUESTS": str(self.max_concurrent_requests),
            "WHISPER__CPU_THREADS": "1",
            "WHISPER__NUM_WORKERS": "1",
        }

    def for_dry_run(self):
        return replace(self, shape=DRY_SHAPE, batch_size=DRY_BATCH)


PROFILES = [
    Profile("ultra-fast", "large-v3-turbo", 512, 20, 8192, 2000),
    Profile("beast", "large-v3-turbo", 768, 30, 16384, 3000),
    Profile("quality", "large-v3", 384, 35, 4096, 1500),
    Profile("extreme", "large-v3", 512, 40, 8192, 2000),
]
