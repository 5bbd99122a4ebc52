"""A report that may leave the house: groups of clinicians only, small ones suppressed, names replaced.

`plan.make_plan` says what may be shown, by the rule of `suppression`; `page.write_share` writes it. What is shared is built from a
list of what is known to be safe (`material.SharedMaterial`): what others add to the report is not in it until somebody puts it
there.
"""
