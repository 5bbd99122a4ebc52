# `make demo` and `make test` work as the first command on a fresh checkout: they make the environment themselves.
# Needed beforehand: Python 3.12, 3.13 or 3.14. With uv on the PATH it is quicker.
#   make test ARGS="tests/models -k filter"        arguments are passed on
#   make demo PYTHON=/path/to/python3.13           names the Python to use
#   make lock ARGS=--upgrade                       newer pins; without it only what pyproject.toml asks for changes

PYTHON ?= python3 python3.13 python3.12 python3.14
ARGS ?=

# A uv that fetches a Python of its own would hide that the one named here is missing.
export UV_PYTHON_DOWNLOADS := never

.PHONY: demo test lint lock clean

demo: .venv/.ready
	.venv/bin/equipoise demo $(ARGS)

# One file stays with one worker, so that what its tests share (a compiled model, a fit) is made once.
test: .venv/.ready
	.venv/bin/pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/.ready
	.venv/bin/ruff check $(ARGS) .

lock:
	@PATH="$$PATH:.venv/bin"; command -v uv >/dev/null || { echo "make lock needs uv on the PATH." >&2; exit 1; }; \
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-annotate \
	    --all-extras --group dev pyproject.toml --output-file requirements.lock $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name .venv -prune -o -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +

# Ready only once everything is in: both marks are touched last. A changed lock, or an installation that was broken
# off, starts again from nothing; a changed pyproject.toml only repeats the last step.
.venv/.ready: .venv/.locked pyproject.toml
	@rm -f $@
	PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# A candidate must run, not only exist (pyenv's shims stand in for absent versions), and PyMC ends before 3.15.
# uv does not read pip's settings, so where pip alone knows a mirror uv fails and pip takes over. Debian's python3
# without python3-venv makes environments without pip: then the pip outside installs into it.
.venv/.locked: requirements.lock
	@set -eu; trap 'exit 130' INT; python=; \
	for candidate in $(PYTHON); do \
	    python=$$("$$candidate" -c 'import sys; (3, 12) <= sys.version_info < (3, 15) and print(sys._base_executable)' \
	        2>/dev/null) && test -n "$$python" && break || python=; \
	done; \
	if test -z "$$python"; then \
	    echo "Equipoise needs Python 3.12, 3.13 or 3.14, and there is none here under the name of: $(PYTHON)." >&2; \
	    for candidate in $(PYTHON); do \
	        found=$$("$$candidate" -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null) \
	            && echo "  $$candidate is $$found" >&2 || :; \
	    done; \
	    echo "Install one, or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.13" >&2; exit 1; \
	fi; \
	rm -rf .venv; echo "Making .venv (once; a minute or two) ..."; \
	if command -v uv >/dev/null && uv venv --quiet --python "$$python" .venv \
	    && uv pip install --python .venv/bin/python --require-hashes -r requirements.lock; then :; \
	else \
	    rm -rf .venv; \
	    if "$$python" -m venv .venv >/dev/null 2>&1; then set -- .venv/bin/python -m pip; \
	    else rm -rf .venv; "$$python" -m venv --without-pip .venv; set -- "$$python" -m pip --python .venv/bin/python; \
	    fi; \
	    "$$@" install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	@touch $@
