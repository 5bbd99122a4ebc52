"""Names that say nothing, and are the same in every report made with the same key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

SHORTEST = 6  # hexadecimal digits


def pseudonyms(names: Sequence[str], key: bytes, kind: str = "unit") -> dict[str, str]:
    """A pseudonym such as ``unit-7f3a9c`` for each name.

    A keyed hash (HMAC-SHA256; Krawczyk, Bellare & Canetti 1997, RFC 2104): without the key nobody can try names out. The kind
    goes into what is hashed, so that a unit and a person of one name have nothing in common.

    Parameters
    ----------
    names : sequence of str
    key : bytes
        At least 16.
    kind : str

    Returns
    -------
    dict of str to str
        By name; longer for names whose first digits are alike.

    Examples
    --------
    >>> pseudonyms(["Ward 3"], b"0" * 32)
    {'Ward 3': 'unit-422074'}
    """
    names = list(dict.fromkeys(names))
    if len(key) < 16:
        raise ValueError("the key of the pseudonyms must have at least 16 bytes.")
    digests = {
        name: hmac.new(key, f"equipoise {kind}\0{name}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
        for name in names
    }
    length = SHORTEST
    out = {}
    while digests:
        cut = [digest[:length] for digest in digests.values()]
        done = {name: digest[:length] for name, digest in digests.items() if cut.count(digest[:length]) == 1}
        out |= {name: f"{kind}-{digits}" for name, digits in done.items()}
        digests = {name: digest for name, digest in digests.items() if name not in done}
        length += 2
    return {name: out[name] for name in names}
