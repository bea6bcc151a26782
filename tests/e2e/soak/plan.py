"""Duration of a soak, its traffic, and the limits of its server."""
import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """A field may be set by `--soak NAME=VALUE`."""
    sample: Path
    manifest: Path | None = None     # recordings with their texts; without it only the sample is sent
    minutes: float = 60
    settle_s: float = 2              # wait in a pause before memory is read
    callers: int = 8
    seed: int = 1
    long_s: float = 120              # length of the long recording
    # The first model knows all languages; the others are unloaded as soon as they are idle.
    models: tuple = ("base", "tiny.en")
    key: str = "soak-key-0b5e"
    capacity: int = 12               # MAX_CONCURRENT_REQUESTS
    upload_mib: int = 8              # MAX_UPLOAD_MIB
    read_timeout_s: float = 4        # READ_TIMEOUT_S
    request_timeout_s: int = 90      # REQUEST_TIMEOUT_S

    @property
    def round_s(self):
        """Seconds of traffic between two pauses; 24 rounds in an hour."""
        return min(180.0, max(8.0, self.minutes * 60 / 24))

    def with_options(self, options):
        """Returns the plan with fields as `NAME=VALUE`; models are separated by commas."""
        types = {field.name: field.type for field in dataclasses.fields(self)}
        given = dict(option.split("=", 1) for option in options)
        if unknown := set(given) - set(types):
            raise ValueError(f"unknown field of a soak: {', '.join(unknown)}; known are {', '.join(types)}")
        made = {name: tuple(value.split(",")) if types[name] is tuple else
                Path(value) if types[name] not in (int, float, str) else types[name](value)
                for name, value in given.items()}
        return dataclasses.replace(self, **made)
