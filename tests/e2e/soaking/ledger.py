"""Keeps what became of every request of a soak: counts, times, texts, and whatever was not as it should be."""
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from load import quantile

KEPT_FAULTS = 100  # a broken server makes thousands of the same kind
ERROR_KEYS = {"message", "type", "param", "code"}


@dataclass
class Reply:
    """An answer; `status` is 0 where there was none, and `body` then says what was seen instead."""
    status: int
    body: bytes
    headers: dict
    seconds: float

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode("utf-8", "replace")


@dataclass
class Ledger:
    counts: Counter = field(default_factory=Counter)          # (kind, what came of it) → how often
    seconds: dict = field(default_factory=lambda: defaultdict(list))  # kind → times of its 200s
    texts: dict = field(default_factory=dict)                 # what was asked of which clip → its text
    repeats: int = 0                                          # texts that were compared with an earlier one
    provoked: Counter = field(default_factory=Counter)        # 5xx that were meant to come, by their message
    faults: list = field(default_factory=list)
    faults_seen: int = 0

    def note(self, kind, reply, expected):
        """Counts an answer to a request that was sent whole; whether it is one of those expected."""
        self.counts[kind, reply.status or "none"] += 1
        if reply.status == 200:
            self.seconds[kind].append(reply.seconds)
        if reply.status not in expected:
            self.fault(kind, f"status {reply.status or 'none'} instead of {sorted(expected)}", reply)
            return False
        if reply.status >= 400:
            self._note_error(kind, reply)
        return True

    def note_left(self, kind, how):
        """Counts a request that was not sent whole, or not waited for."""
        self.counts[kind, how] += 1

    def same_text(self, kind, key, text, reply):
        """Holds an answer to the first one for the same clip and the same wish."""
        known = self.texts.setdefault(key, text)
        self.repeats += known is not text
        if known != text:
            self.fault(kind, f"another text for {key}: {text[:200]!r} instead of {known[:200]!r}", reply)

    def fault(self, kind, what, reply=None):
        self.faults_seen += 1
        if len(self.faults) < KEPT_FAULTS:
            about = {"request": reply.headers.get("x-request-id"), "body": reply.text()[:300]} if reply else {}
            self.faults.append({"kind": kind, "what": what} | about)

    def _note_error(self, kind, reply):
        try:
            error = reply.json()["error"]
            shaped = set(error) == ERROR_KEYS and isinstance(error["message"], str) and isinstance(error["type"], str)
        except (ValueError, KeyError, TypeError):
            shaped = False
        if not shaped:
            return self.fault(kind, "an error without OpenAI's shape", reply)
        if reply.status in (429, 503) and not {"retry-after", "retry-after-ms"} <= set(reply.headers):
            self.fault(kind, f"{reply.status} without retry-after", reply)
        if reply.status >= 500:
            self.provoked[kind, reply.status, error["message"].split(" Request id:")[0]] += 1

    def lost(self):
        return sum(count for (_, came), count in self.counts.items() if came == "none")

    def statuses(self):
        """Answers by status, over all kinds."""
        total = Counter()
        for (_, came), count in self.counts.items():
            total[came] += count
        return total

    def latencies(self):
        """Seconds of the good answers, a line a kind."""
        return {kind: {"answers": len(seconds), "p50_s": quantile(seconds, 0.5), "p95_s": quantile(seconds, 0.95),
                       "p99_s": quantile(seconds, 0.99), "max_s": max(seconds)}
                for kind, seconds in sorted(self.seconds.items())}
