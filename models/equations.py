"""The model as text: its equations and its priors, in the words and symbols of the report."""

from __future__ import annotations

from .priors import DEFAULTS, MEANINGS

_LAYERS = {"trait": "trait SD^2", "process": "omega^2", "error": "error^2"}
_SECULAR = {
    "none": "",
    "linear": "drift (t - middle)/length",
    "spline": "spline(t; knot_effect)",
    "periods": "period_effect[period(t)]",
}
_START = {
    "displaced": "C_i(first survey) ~ Normal(C*_off,i + start_shift + response to spells begun earlier, (start_sd_ratio omega_i)^2)",
    "stationary": "C_i(first survey) ~ Normal(C*_off,i + response to spells begun earlier, omega_i^2)",
    "free": "C_i(first survey) ~ Normal(start_mean, start_sd^2)",
}
_SPREAD = {
    "free": "log omega_i(t) = log omega{moved} + spread_sd * w_i,   w_i ~ Normal(0, 1)",
    "shared_omega": "omega_i(t) = omega, one stationary spread for all",
    "shared_sigma": "omega_i(t)^2 = sigma^2 / (2 beta_i(t)), one sigma for all",
}


def write_equations(model, study=None) -> str:
    """Text of `CapacityModel.equations`."""
    interventions, terms_alpha, terms_beta, levers = ["k"], [], [], "both"
    n_units, selected, secular, indicators = 2, ["k"], model.secular or ("periods" if model.periods else "none"), 1
    table, varying = None, []
    if study is not None:
        from .design import build_design
        from .parameters import parameter_table

        design, _, _ = build_design(model, study)
        table = parameter_table(model, study, design)
        interventions = list(design.interventions)
        on_alpha, on_beta = design.on_alpha, design.on_beta
        terms_alpha = [n for n, a in zip(design.terms.names, design.terms.on_alpha, strict=True) if a]
        terms_beta = [n for n, b in zip(design.terms.names, design.terms.on_beta, strict=True) if b]
        n_units, secular, indicators = design.n_units, design.secular.kind, len(design.indicators)
        selected = [interventions[k] for k in design.selected]
        alpha_programmes = [n for n, a in zip(interventions, on_alpha, strict=True) if a]
        beta_programmes = [n for n, b in zip(interventions, on_beta, strict=True) if b]
        varying = _varying(design)
    else:
        terms_alpha = [model.replenishment] if model.replenishment else []
        terms_beta = [model.depletion] if model.depletion else []
        levers = model.interventions if isinstance(model.interventions, str) else "both"
        alpha_programmes = ["k"] if levers != "depletion" else []
        beta_programmes = ["k"] if levers != "replenishment" else []
        if not model.adjust_selection:
            selected = []

    unit_level = " + unit_level_sd * c_u" if n_units > 1 else ""
    unit_rate = " + unit_rate_sd * b_u" if n_units > 1 else ""
    alpha_terms = "".join(f" + gamma_alpha[{t}] x[{t}]" for t in terms_alpha)
    beta_terms = "".join(f" + gamma_beta[{t}] x[{t}]" for t in terms_beta)
    alpha_terms += "".join(f" + theta_alpha[{k}] d[{k}](t)" for k in alpha_programmes)
    beta_terms += "".join(f" + theta_beta[{k}] d[{k}](t)" for k in beta_programmes)
    level_only = "".join(f" + selection[{k}] (mean exposure to {k})" for k in selected)
    drift = _SECULAR[secular]
    if model.secular_lever == "replenishment":
        level_only += f" + {drift}" if drift else ""
    elif drift:
        beta_terms += f" - ({drift})"
    moved = "".join(f" + theta_omega[{k}] d[{k}](t)" for k in interventions)

    lines = [
        "Capacity of clinician i in unit u, 0-100, higher is better",
        "  dC_i = (alpha_i(t) - beta_i(t) C_i) dt + sigma_i(t) dW,   C*_i = alpha_i / beta_i,   sigma^2 = 2 beta omega^2",
        f"  log alpha_i(t) = log(level * ln 2 / half_life){unit_level}{unit_rate}{level_only}{alpha_terms}{_own(model)} + b_i",
        f"  log beta_i(t)  = log(ln 2 / half_life){unit_rate}{beta_terms} + b_i",
        "  " + _SPREAD[model.spread].format(moved=moved if model.spread == "free" else ""),
        "  " + _START[model.start],
    ]
    if model.left_out == "trait":
        lines.append("  b_i = rate_sd z_i")
    elif model.level == "integrated":
        lines += [
            "  b_i = rate_sd z_i;   e_i | z_i ~ Normal(s_e rho z_i, s_e^2 (1 - rho^2)), integrated out",
            "  s_e = trait SD / level,   rho = 2 level_rate_concordance - 1",
        ]
    else:
        lines += [
            "  l_i ~ Normal(0, s_e^2), sampled;   b_i = rate_sd (rho l_i / s_e + sqrt(1 - rho^2) z_i)",
            "  s_e = trait SD / level,   rho = 2 level_rate_concordance - 1",
        ]
    lines += [
        "Variance, shared out",
        f"  ({', '.join(_LAYERS[layer] for layer in model.layers)}) = total_sd^2 * variance_shares,   z_i ~ Normal(0, 1)",
        *([f"  {_LAYERS[model.left_out]} = 0, left out"] if model.left_out != "none" else []),
        "Measurement",
        "  score ~ Normal(C, (step^2/12 + error^2) / answers averaged), on the 0-100 scale",
    ]
    if varying:
        lines += ["Effects that vary, around the average clinician's", *varying]
    if indicators > 1:
        lines.append("  further scores ~ Normal(intercept + loading C, step^2/12 + error_sd^2)")
    if table is None:
        on_both = bool(alpha_programmes and beta_programmes)
    else:
        on_both = any(p.name in ("speed_up", "covariate_speed") for p in table)
    if on_both:
        lines.append("Effects on both levers are sampled as level_change = theta_alpha - theta_beta and")
        lines.append(
            "  speed_up = (theta_alpha + theta_beta)/2; covariates likewise (covariate_level, covariate_speed)"
        )
    named_courses = zip(interventions, design.courses, strict=True) if table is not None else model.exposures.items()
    shaped = [(label, course) for label, course in named_courses if not course.is_plain]
    if shaped:
        lines.append("Exposure d(t) that comes of a spell from a to b (otherwise its dose while it runs)")
        lines += [f"  d[{label}]: {course.sentence()}" for label, course in shaped]
        lines += [f"    {shape.name}: {shape.formula}" for shape in {s.name: s for _, c in shaped for s in c.chain}.values()]
    lines.append("Priors")
    if table is not None:
        named = [(p.name, p.prior) for p in table if not p.latent]
    else:
        named = [(name, model.priors.get(name, DEFAULTS.get(name))) for name in MEANINGS]
    width = max(len(name) for name, _ in named)
    for name, prior in named:
        text = str(prior) if prior is not None else "LogNormal, set by the study's spacing and length"
        mark = " (stated)" if name in model.priors else ""
        lines.append(f"  {name:<{width}} ~ {text}{mark}   {MEANINGS[name]}")
    return "\n".join(lines)


def _varying(design) -> list[str]:
    """Lines on effects that differ between clinicians."""
    m, lines = design.moderation, []
    for j, (label, k) in enumerate(zip(m.names, m.intervention, strict=True)):
        covariate = label.removeprefix(f"{design.interventions[k]}:")
        for lever, acts in (("alpha", m.on_alpha[j]), ("beta", m.on_beta[j])):
            if acts:
                lines.append(f"  theta_{lever}[{design.interventions[k]}] + moderation_{lever}[{label}] x[{covariate}]")
    for who, members in (("unit", m.by_unit), ("clinician", m.by_clinician)):
        for k in members:
            name = design.interventions[k]
            lines.append(f"  change of log C* by {name} + effect_{who}_sd[{name}] * v_{who[0]},   v ~ Normal(0, 1)")
    return lines


def _own(model) -> str:
    if model.left_out == "trait":
        return ""
    return " + log(1 + e_i)" if model.level == "integrated" else " + l_i"
