"""Runs `halkspeech bench`, the load generator, and reads its results."""
import json
import os
import subprocess

import servers


def closed_loop(program, url, callers, *arguments):
    """The results of one run in which so many callers never pause; `arguments` name the clips and how long it lasts."""
    command = [os.path.abspath(program), "bench", "--url", url, "--concurrency", str(callers), "--json", "-",
               *map(str, arguments)]
    done = subprocess.run(command, env=servers.environment(), stdout=subprocess.PIPE, text=True, check=False)
    # Status 1 tells of requests that were not answered with 200, which the results count.
    if not done.stdout:
        raise RuntimeError(f"halkspeech bench ended with {done.returncode}")
    return json.loads(done.stdout)["runs"][0]
