"""Questions to a model that take many fits to answer: calibration, cross-validation, sensitivity, twice the draws.

None of it can change a draw of a fit, so it is no part of what a fit's draws are keyed by.
"""
