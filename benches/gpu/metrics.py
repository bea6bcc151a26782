"""Reads the server's metrics, and computes their increase between two readings."""
import re

LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Metrics:
    def __init__(self, text):
        self.values = {}
        for line in text.splitlines():
            match = LINE.match(line)
            if match:
                labels = frozenset(LABEL.findall(match[2] or ""))
                self.values[match[1], labels] = float(match[3])

    def gauge(self, name, **labels):
        return self.values.get((name, frozenset(labels.items())))

    def total(self, name):
        """The sum over all labels."""
        return sum(value for (known, _), value in self.values.items() if known == name)

    def since(self, earlier, name):
        return self.total(name) - earlier.total(name)

    def mean_since(self, earlier, histogram):
        count = self.since(earlier, f"{histogram}_count")
        return self.since(earlier, f"{histogram}_sum") / count if count else None

    def histograms(self, part):
        """Names of the histograms whose name contains `part`."""
        return sorted({name[:-len("_count")] for name, _ in self.values
                       if name.endswith("_count") and part in name})
