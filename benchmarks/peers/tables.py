"""What `run.py` has stored, as Markdown."""

import json
from statistics import median

import numpy as np

RHAT_LIMIT = 1.01


def sampling_rows(results: dict) -> list[dict]:
    """Runs of samplers with what they were of; of several with the same size, seed and system the last one counts."""
    rows = {}
    for job, result in results.items():
        what, *parts = job.split("|")
        if what == "sampling":
            size, seed, system, coordinates, settings, *_ = parts
            row = {"size": size, "seed": int(seed), "system": system, "coordinates": coordinates, **json.loads(settings)}
            rows[size, int(seed), system, coordinates] = row | result | {"speed": result["ess"] / result["cpu"]}
    return list(rows.values())


def failed(row) -> bool:
    return row["rhat"] is None or row["rhat"] > RHAT_LIMIT or row["divergences"] > 0 or row["stopped"]


def line(row) -> str:
    rhat = "-" if row["rhat"] is None else f"{row['rhat']:.4f}"
    return (
        f"{row['cpu']:.1f} CPU s ({row['wall']:.1f} s, compiled in {row['compile']:.0f}), {row['steps']:.0f} steps, "
        f"{row['chains']} x {row['draws']} draws, ESS >= {row['ess']:.0f} ({row['slowest']}), {row['ess'] / row['cpu']:.2f} a CPU s, "
        f"R-hat <= {rhat}, {row['divergences']} divergences" + (", STOPPED" if row["stopped"] else "")
    )


def spread(values, digits=3) -> str:
    """Median and range."""
    if len(values) == 1:
        return f"{values[0]:.{digits}g}"
    return f"{median(values):.{digits}g} ({min(values):.{digits}g} to {max(values):.{digits}g})"


def markdown(header, rows) -> str:
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows))


def groups(rows, *keys) -> dict:
    out = {}
    for row in rows:
        out.setdefault(tuple(row[key] for key in keys), []).append(row)
    return out


def sampling_table(rows) -> str:
    ours = {(r["size"], r["seed"]): r["speed"] for r in rows if r["system"] == "equipoise"}
    body = []
    for (size, system, coordinates), runs in groups(rows, "size", "system", "coordinates").items():
        ratios = [ours[size, r["seed"]] / r["speed"] for r in runs if (size, r["seed"]) in ours and r["speed"] > 0]
        rhat = [np.inf if r["rhat"] is None else r["rhat"] for r in runs]
        body.append([
            size, system, coordinates, len(runs), f"{runs[0]['chains']} x {runs[0]['draws']} after {runs[0]['tune']}",
            spread([r["compile"] for r in runs], 2), spread([r["cpu"] for r in runs]), spread([r["ess"] for r in runs]),
            spread([r["speed"] for r in runs]),
            "" if system == "equipoise" or not ratios else spread(ratios), spread([r["divergences"] for r in runs]),
            f"{max(rhat):.3f}", sum(map(failed, runs)), ", ".join(sorted({r["slowest"].split("[")[0] for r in runs})),
        ])  # fmt: skip
    header = [
        "study", "system", "coordinates", "seeds", "draws kept", "compiled in, s", "CPU s", "least ESS", "ESS per CPU s",
        "Equipoise is faster by", "divergences", "R-hat at most", "failed", "slowest",
    ]  # fmt: skip
    return markdown(header, body)


def times_table(results) -> str:
    """Nanoseconds a row: median and least over rounds, and the ratio to numpyro's of the same kind within each round."""
    body = {}
    for job, found in results.items():
        what, size, *_ = job.split("|")
        if what != "times":
            continue
        for name, ns in found.items():
            system, coordinates, timed = name.split(", ", 2)
            other = found.get(f"numpyro, {coordinates}, {timed}")
            ratio = "" if other is None or system == "numpyro" else spread(list(np.round(np.array(ns) / other, 3)), 2)
            body[size, name] = [size, system, coordinates, timed, f"{median(ns):.1f}", f"{min(ns):.1f}", ratio]
    header = ["study", "system", "coordinates", "value and gradient of", "median ns a row", "least", "times numpyro's (range)"]
    return markdown(header, body.values())


def agreement(rows) -> list[str]:
    """Posterior means of each pair of runs of one study against the first, in their Monte Carlo errors."""
    out = []
    for (size, seed), runs in groups([r for r in rows if "means" in r], "size", "seed").items():
        first = runs[0]
        for other in runs[1:]:
            names = sorted(set(first["means"]) & set(other["means"]))
            a, b = (np.array([r["means"][n] for n in names]) for r in (first, other))
            z = (a[:, 0] - b[:, 0]) / np.hypot(a[:, 1], b[:, 1])
            worst = int(np.abs(z).argmax())
            out.append(
                f"- {size}, seed {seed}: {other['system']}, {other['coordinates']}, against {first['system']}, "
                f"{first['coordinates']}: {len(names)} posterior means, {100 * np.mean(np.abs(z) > 2):.1f} % beyond 2 Monte Carlo "
                f"errors, the largest {abs(z[worst]):.1f} ({names[worst]}), root mean square {np.sqrt(np.mean(z**2)):.2f}"
            )
    return out


def agreed(found) -> str:
    if "note" in found:
        return found["note"]
    return f"density {found['density']:.0e}, gradient {found['gradient']:.0e} (relative, largest), against {found['against']}"


def report(results: dict) -> str:
    rows = sampling_rows(results)
    checks = {}
    for job, result in results.items():
        what, size, *_ = job.split("|")
        if what == "gradients":
            checks.update({(size, name): agreed(found) for name, found in result.items()})
    sections = [
        "Sampling (median over seeds and range; a run failed with a divergence, R-hat above 1.01, or at its time limit):\n",
        sampling_table(rows), "\nValue and gradient:\n", times_table(results), "\nThe same densities and gradients:\n",
        *(f"- {size}: {name}: {text}" for (size, name), text in checks.items()), "\nThe same posterior:\n", *agreement(rows),
    ]  # fmt: skip
    return "\n".join(sections)
