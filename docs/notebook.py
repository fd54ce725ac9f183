# %% [markdown]
# From a config to a verdict, in cells that Jupyter and VS Code open as a notebook (the "percent" format).
# As a script: `python docs/notebook.py [CONFIG]`. In a notebook, the value at the end of a cell is shown as a table.

# %%
import sys

import paredown

CONFIG = sys.argv[1] if sys.argv[1:] else "configs/mnist/pipeline.yaml"

# %% Load a config; another value for a key is given by its name
config = paredown.load(CONFIG, overrides={"gate.size.max_ratio": 0.9})
print(config.path, "has the candidates", ", ".join(config.config.candidates))

# %% What a run would do
plan = paredown.plan(config)
print(plan.summary)

# %% Run it: minutes the first time, seconds when everything is cached
outcome = paredown.run(config)
print(outcome)

# %% The verdicts, typed: which limits each candidate met and missed
for name, verdict in outcome.verdicts.items():
    met = sum(judgement.met for judgement in verdict.judgements)
    print(
        f"{name}: {'passed' if verdict.blessed else 'failed'}, {met} of {len(verdict.judgements)} limits met"
    )
    for judgement in verdict.missed:
        print(f"  {judgement.key}: {judgement.reason}")

# %% Runs of this config, newest first, and what one of them left
runs = paredown.runs(config=CONFIG, limit=5)
print(runs)

run = paredown.read_run(outcome.run, config=CONFIG)
for candidate in run.candidates:
    size, accuracy = candidate.figure("file"), candidate.figure("accuracy")
    print(f"{candidate.name}: {size} bytes, {run.metric} {accuracy}")

# %% What the pushed file holds, layer by layer
if outcome.pushed:
    model = paredown.inspect(outcome.pushed)[0]
    print(f"{outcome.winner}: {model.bytes} bytes")
    for layer in model.layers:
        print(f"  {layer.name}: {layer.dtype}, {layer.parameters} parameters, {layer.sparsity} zeros")
