"""What a repaired event costs, measured side by side; `docs/performance.md` is made from it, `python -m bench` runs it.

    load -> contender -> origin          each its own process

`streams` grows the inputs, `origin` sends them, `load` asks for them and checks that each arrived whole, `contenders`
says who stands in between, `rounds` lets them take turns, `report` and `plots` write down what came out.
"""
