"""Runs `halkspeech bench`, the load generator, and reads its results."""
import json
import os
import subprocess

import servers


def closed_loop(program, url, callers, *arguments):
    """Runs a closed loop with `callers` callers; returns its results. `arguments` set the clips and the duration."""
    command = [os.path.abspath(program), "bench", "--url", url, "--concurrency", str(callers), "--json", "-",
               *map(str, arguments)]
    process = subprocess.run(command, env=servers.environment(), stdout=subprocess.PIPE, text=True, check=False)
    # Status 1: some requests were not answered with 200; the results count them.
    if not process.stdout:
        raise RuntimeError(f"halkspeech bench ended with {process.returncode}")
    return json.loads(process.stdout)["runs"][0]
