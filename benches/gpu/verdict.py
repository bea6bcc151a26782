"""Finds problems in the measurements of the profiles."""

# Processor use, in cores, above which the Python client, which has one core, may have been the bottleneck.
CLIENT_LIMIT = 0.9


def problems(profiles):
    return [f"{profile['profile']}, {cell['clip_s']} s, beam {cell['beam']}: {problem}"
            for profile in profiles for cell in profile["cells"] for problem in problems_of(cell)]


def problems_of(cell):
    for kind in ("failures", "generated_again", "engine_failures"):
        if cell.get(kind):
            yield f"{cell[kind]:.0f} {kind.replace('_', ' ')} {cell['first_failures'] or ''}"
    if cell.get("windows_a_minute") is None:
        yield "too few answers for a rate"
    if cell.get("client_cores", 0) > CLIENT_LIMIT:
        yield f"the client used {cell['client_cores']:.2f} of its core, and may have been the bottleneck"
