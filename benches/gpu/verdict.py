"""Says what in the measurements of the profiles is wrong."""

# The share of a core from which on a Python program, which has one, may have been the bound.
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
        yield f"what sent the requests took {cell['client_cores']:.2f} of its core, and may have been the bound"
