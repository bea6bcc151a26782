"""Records the outcome of every request of a soak: counts, times, texts, and faults."""
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from load import quantile

MAX_KEPT_FAULTS = 100  # a broken server causes thousands of the same kind
ERROR_KEYS = {"message", "type", "param", "code"}


@dataclass
class Reply:
    """An answer; `status` is 0 if there was none, and `body` is then the error."""
    status: int
    body: bytes
    headers: dict
    seconds: float

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode("utf-8", "replace")


@dataclass
class SoakResults:
    counts: Counter = field(default_factory=Counter)          # (kind, outcome) → number
    seconds: dict = field(default_factory=lambda: defaultdict(list))  # kind → times of its 200s
    texts: dict = field(default_factory=dict)                 # (clip, options) → text
    repeats: int = 0                                          # texts compared with an earlier one
    provoked: Counter = field(default_factory=Counter)        # expected 5xx, by their message
    faults: list = field(default_factory=list)
    fault_count: int = 0

    def record(self, kind, reply, expected):
        """Counts the answer to a complete request; returns whether its status is expected."""
        self.counts[kind, reply.status or "none"] += 1
        if reply.status == 200:
            self.seconds[kind].append(reply.seconds)
        if reply.status not in expected:
            self.add_fault(kind, f"status {reply.status or 'none'} instead of {sorted(expected)}", reply)
            return False
        if reply.status >= 400:
            self._record_error(kind, reply)
        return True

    def record_aborted(self, kind, outcome):
        """Counts a request that was not sent completely, or whose answer was not awaited."""
        self.counts[kind, outcome] += 1

    def check_same_text(self, kind, key, text, reply):
        """Compares a text with the first one for the same clip and options."""
        known = self.texts.setdefault(key, text)
        self.repeats += known is not text
        if known != text:
            self.add_fault(kind, f"another text for {key}: {text[:200]!r} instead of {known[:200]!r}", reply)

    def add_fault(self, kind, description, reply=None):
        self.fault_count += 1
        if len(self.faults) < MAX_KEPT_FAULTS:
            details = {"request": reply.headers.get("x-request-id"), "body": reply.text()[:300]} if reply else {}
            self.faults.append({"kind": kind, "what": description} | details)

    def _record_error(self, kind, reply):
        try:
            error = reply.json()["error"]
            has_shape = (set(error) == ERROR_KEYS and isinstance(error["message"], str)
                         and isinstance(error["type"], str))
        except (ValueError, KeyError, TypeError):
            has_shape = False
        if not has_shape:
            return self.add_fault(kind, "an error without OpenAI's shape", reply)
        if reply.status in (429, 503) and not {"retry-after", "retry-after-ms"} <= set(reply.headers):
            self.add_fault(kind, f"{reply.status} without retry-after", reply)
        if reply.status >= 500:
            self.provoked[kind, reply.status, error["message"].split(" Request id:")[0]] += 1

    def unanswered(self):
        return sum(count for (_, outcome), count in self.counts.items() if outcome == "none")

    def statuses(self):
        """Answers by status, over all kinds."""
        total = Counter()
        for (_, outcome), count in self.counts.items():
            total[outcome] += count
        return total

    def latencies(self):
        """Seconds of the 200 answers, by kind."""
        return {kind: {"answers": len(seconds), "p50_s": quantile(seconds, 0.5), "p95_s": quantile(seconds, 0.95),
                       "p99_s": quantile(seconds, 0.99), "max_s": max(seconds)}
                for kind, seconds in sorted(self.seconds.items())}
