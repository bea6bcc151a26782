"""Prints the diarization error rate of each recording and their mean, at collars of 0 and 0.25 s.

    pip install numpy scipy
    python scripts/diarization_error.py REFERENCE.rttm... --found FOUND.rttm

As in NIST's md-eval and pyannote.metrics: missed speech, false alarms and speech of the wrong speaker, in relation to
the speech of the reference; speakers are mapped so that they share most time. Overlapped speech counts. The collar
removes that much before and after each border of the reference.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

STEP_S = 0.001


def read(path):
    """Spans by recording: start, end, speaker."""
    spans = defaultdict(list)
    for line in Path(path).read_text().splitlines():
        fields = line.split()
        if fields[:1] == ["SPEAKER"]:
            start = float(fields[3])
            spans[fields[1]].append((start, start + float(fields[4]), fields[7]))
    return spans


def activity(spans, steps):
    """A row for each speaker."""
    names = sorted({name for _, _, name in spans})
    rows = np.zeros((len(names), steps), bool)
    for start, end, name in spans:
        rows[names.index(name), round(start / STEP_S) : round(end / STEP_S)] = True
    return rows


def error_rate(reference, found, collar):
    steps = round(max(end for _, end, _ in reference + found) / STEP_S) + 1
    scored = np.ones(steps, bool)
    for start, end, _ in reference:
        for border in (start, end):
            scored[max(round((border - collar) / STEP_S), 0) : round((border + collar) / STEP_S)] &= collar == 0
    a, b = activity(reference, steps)[:, scored], activity(found, steps)[:, scored]
    shared = a.astype(np.float32) @ b.T.astype(np.float32)
    correct = shared[linear_sum_assignment(-shared)].sum()
    errors = np.maximum(a.sum(0), b.sum(0)).sum() - correct
    missed = np.maximum(a.sum(0).astype(int) - b.sum(0), 0).sum()
    alarms = np.maximum(b.sum(0).astype(int) - a.sum(0), 0).sum()
    total = a.sum()
    return np.array([errors, missed, alarms, errors - missed - alarms]) / total * 100


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("references", nargs="+")
    parser.add_argument("--found", required=True)
    arguments = parser.parse_args()
    found = read(arguments.found)
    rows, right = [], 0
    for path in arguments.references:
        for name, reference in read(path).items():
            result = found.get(name, [])
            counts = [len({speaker for *_, speaker in spans}) for spans in (reference, result)]
            right += counts[0] == counts[1]
            row = np.concatenate([error_rate(reference, result, collar) for collar in (0.0, 0.25)])
            rows.append(row)
            print(f"{name:24} speakers {counts[0]} found {counts[1]}  " + " ".join(f"{value:6.2f}" for value in row))
    print(f"{'mean':24} speakers right {right} of {len(rows)} " + " ".join(f"{v:6.2f}" for v in np.mean(rows, 0)))
    print("columns, at a collar of 0, then of 0.25 s: error, missed, false alarm, wrong speaker, in percent")


if __name__ == "__main__":
    main()
