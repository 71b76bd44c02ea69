"""Resolving the terms of a model with 200 parents, against a JSON round trip of the same chain.

Floor: `json.loads(json.dumps(...))` of the chain's JSON form, which touches every work and edge once. Limit of the
project: 100 ms. The registry of licences is loaded before (its time is printed apart), as a command loads it once; the
two take turns, and the best of the rounds counts. The licences go round, so that all of them are in force.
"""

import json
import time
from collections.abc import Callable

from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.permit import permit
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.use import Use

PARENTS = 200
ROUNDS = 15
LIMIT_MS = 100


def a_chain(parents: int) -> Chain:
    """Return a chain in layers of ten: every model is merged from two of the layer below, some from others' outputs."""
    licences = [licence.id for licence in registry().all]
    works = [Work(ref="acme/root", license="Apache-2.0")]
    edges: list[Edge] = []
    relations = (Relation.MERGE, Relation.FINETUNE, Relation.QUANTISE, Relation.DISTIL, Relation.TRAIN_DATA)
    for number in range(parents):
        ref = f"owner-{number % 17}/model-{number:04}"
        works.append(Work(ref=ref, license=licences[number % len(licences)], digest=f"{number:064x}"))
        below = works[max(0, number - 9)].ref
        edges.append(Edge(child=below, parent=ref, relation=relations[number % len(relations)]))
        edges.append(Edge(child="acme/root", parent=ref, relation=Relation.MERGE))
    return Chain(root="acme/root", works=tuple(works), edges=tuple(dict.fromkeys(edges)))


def milliseconds(task: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    began = time.perf_counter()
    task()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Print one table and one JSON line."""
    load = milliseconds(registry)
    chain = a_chain(PARENTS)
    form = chain.to_json()
    terms = resolve(chain, declared="Apache-2.0", registry=registry(), model_name="Llama-3-root")
    tasks: dict[str, Callable[[], object]] = {
        "json round trip": lambda: json.loads(json.dumps(form)),
        "resolve": lambda: resolve(chain, declared="Apache-2.0", registry=registry(), model_name="Llama-3-root"),
        "permit": lambda: permit(terms, Use(commercial=True, fields=("military",), seat="DE")),
    }
    rounds = [{name: milliseconds(task) for name, task in tasks.items()} for _ in range(ROUNDS)]
    best = {name: min(found[name] for found in rounds) for name in tasks}
    floor = best["json round trip"]
    print(f"{PARENTS} parents, {len(terms.licences)} licences in force; registry loaded once in {load:.0f} ms")
    for name, value in best.items():
        print(f"{name:18} {value:8.2f} ms   ratio {value / floor:6.1f}")
    result = {name: round(value, 3) for name, value in best.items()}
    print(
        json.dumps({"benchmark": "chain", "parents": PARENTS, "ms": result, "ratio": round(best["resolve"] / floor, 1)})
    )
    if best["resolve"] > LIMIT_MS:
        raise SystemExit(f"resolving took {best['resolve']:.0f} ms, more than {LIMIT_MS}")


if __name__ == "__main__":
    main()
