"""No file is unpickled, no text is run: a rule of the house, checked on the syntax of every module."""

import ast

import pytest

MODULES = {"pickle", "cPickle", "_pickle", "shelve", "marshal", "joblib", "dill", "cloudpickle", "pty", "commands"}
CALLS = {
    "eval", "exec", "compile", "__import__", "execfile", "read_pickle", "to_pickle", "unsafe_load", "full_load", "system", "popen",
    "startfile", "execv", "execve", "execvp", "spawnl", "spawnv", "run_path", "run_module", "exec_module",
}  # fmt: skip
# that are other things under the same word: a regular expression, the name of a computer's system
HARMLESS = {"re.compile", "platform.system"}


def offences(source: str) -> list[str]:
    """What a module does that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"line {node.lineno}: import {a.name}" for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0], *(alias.name for alias in node.names)} if not node.level else set()
            found += [f"line {node.lineno}: import {name}" for name in names & (MODULES | CALLS - {"compile"})]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            word = called.rpartition(".")[2]
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            bare = word == "compile" and isinstance(node.func, ast.Attribute) and not node.args  # takes no text
            if (word in CALLS and called not in HARMLESS and not bare) or called == "yaml.load":
                found.append(f"line {node.lineno}: {called}")
            for risky in ("allow_pickle", "shell"):
                value = given.get(risky)
                if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                    found.append(f"line {node.lineno}: {called}({risky}=...)")
    return found


def test_no_module_reads_pickles_or_runs_text(root, modules):
    found = [f"{path}, {what}" for path in modules.values() for what in offences((root / path).read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import cloudpickle as c", "from joblib import load", "from os import system", "from pandas import read_pickle",
        "import numpy as np\nnp.load('x', allow_pickle=True)", "np.load(f, allow_pickle=mine)", "pd.read_pickle('x')",
        "frame.to_pickle('x')",
        "eval('1')", "builtins.exec(text)", "yaml.load(f)", "os.system('ls')", "os.popen('ls')", "subprocess.run('ls', shell=True)",
        "compile(text, 'a', 'eval')", "__import__(name)", "runpy.run_path(path)", "spec.loader.exec_module(m)",
    ],
)  # fmt: skip
def test_the_rule_sees(line):
    assert offences(line)


@pytest.mark.parametrize(
    "line",
    ["re.compile('a')", "platform.system()", "np.load(f, allow_pickle=False)", "subprocess.run(['ls'])", "yaml.safe_load(f)",
     "ast.parse(t)", "from .compile import compile_model", "callback.compile()"],
)  # fmt: skip
def test_the_rule_allows(line):
    assert not offences(line)
