"""Compares precis with llama.cpp on a GGUF file of every family. Run by tests/clients/run.

Each checkpoint is written with float32 matrices, so that both multiply the same numbers, and llama.cpp must compute the
losses that are in the checkpoint's expected.json (float64 by another implementation), choose the same tokens, and split
texts in the same way. Settings that llama.cpp does not have are changed in a copy of the checkpoint first; there precis's
own losses on a text are the reference. A second file in q8_0 and q4_0 must be readable by PyPI's gguf.
"""

import json
import math
import os
import shutil
import subprocess
import sys

import gguf

program, shared, out = sys.argv[1:4]
families = os.path.join(shared, "golden", "families")

# Settings of the small checkpoints that llama.cpp does not have, and what it has instead.
CHANGED = {
    "gemma2": {"query_pre_attn_scalar": 12},  # the width of a head
    "gemma3_text": {"query_pre_attn_scalar": 20},
    "mistral": {"sliding_window": None},
    "gpt_oss": {"swiglu_limit": 7.0, "rope_scaling.truncate": True},
    "gpt_oss_mxfp4": {"swiglu_limit": 7.0, "rope_scaling.truncate": True},
}
# llama.cpp takes Phi-3's factors for long texts by the context, which is at least 256, and not by the text.
FIRST_SEQUENCE_ALONE = {"phi3"}
# Values that are not as wide as keys: llama.cpp loads no such delta net.
REFUSED = {"qwen3_5", "qwen3_next"}
# No language models.
ENCODERS = {"bert", "distilbert", "roberta", "xlm_roberta", "modernbert", "t5_encoder"}
UNKNOWN = {"opt", "mpnet"}
# llama.cpp computes GELU, SiLU and exponentials from tables of halves or by approximations.
TOLERANCE = {"default": 2e-4, "gpt_neox": 3e-3, "gemma2": 3e-3, "gemma3_text": 3e-3, "gemma4_text": 3e-3}
TEXTS = ["Hello, world! It's 1234 o'clock.", "two  blanks and\n\na line", "caf\u00e9 na\u00efve \u4f60\u597d", "x = {'a': [1, 2]}"]


def precis(*arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"precis {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def changed_copy(name):
    """The checkpoint, or a copy with other settings."""
    source = os.path.join(families, name)
    if name not in CHANGED:
        return source
    copy = os.path.join(out, "models", name)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
    for folder, _, files in os.walk(copy):
        os.chmod(folder, 0o755)
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)
    path = os.path.join(copy, "config.json")
    with open(path) as f:
        config = json.load(f)
    for key, value in CHANGED[name].items():
        at = config
        *outer, last = key.split(".")
        for part in outer:
            at = at[part]
        at[last] = value
    with open(path, "w") as f:
        json.dump(config, f)
    return copy


def losses(model, sequences):
    """What precis computes for lists of token ids, each as one window."""
    path, result = os.path.join(out, "ids.json"), os.path.join(out, "losses.json")
    found = []
    for ids in sequences:
        with open(path, "w") as f:
            json.dump({"sequences": [ids]}, f)
        precis("evaluate", model, "--text", path, "--json", result)
        with open(result) as f:
            found.append(json.load(f)["nll_nats_per_token"])
    return found


def write(name):
    """A case for llama.js."""
    model = changed_copy(name)
    plan, file = os.path.join(out, name + ".plan"), os.path.join(out, name + ".gguf")
    precis("plan", model, "--uniform", "float32", "--tables", "--out", plan)
    precis("compress", model, "--plan", plan, "--out", file, "--replace")
    with open(os.path.join(families, name, "expected.json")) as f:
        expected = json.load(f)
    texts = os.path.join(out, "texts.json")
    with open(texts, "w") as f:
        json.dump(TEXTS, f)
    ids = os.path.join(out, "tokens.json")
    precis("tokenize", file, "--texts", texts, "--no-special", "--json", ids)
    with open(ids) as f:
        tokens = json.load(f)["ids"]
    sequences = expected["ids"][:1] if name in FIRST_SEQUENCE_ALONE else expected["ids"]
    return {
        "file": file,
        "sequences": sequences,
        "texts": TEXTS,
        "context": 256,
        "nll": losses(file, sequences) if name in CHANGED else expected["nll"],
        "tokens": tokens,
        "name": name,
    }


def write_encoder(name):
    """A case with two texts, of which llama.cpp must find the cosine."""
    file = os.path.join(out, name + ".gguf")
    precis("compress", os.path.join(families, name), "--out", file, "--replace")
    with open(os.path.join(families, name, "expected.json")) as f:
        expected = json.load(f)
    rows = zip(expected["input_ids"][:2], expected["attention_mask"][:2])
    pair = [[i for i, used in zip(ids, mask) if used == 1] for ids, mask in rows]
    return {"file": file, "name": name, "pair": pair, "context": 128, "cosine": expected["cosine_0_1"]}


def faults(case, result):
    """What differs, as sentences."""
    if "error" in result:
        return [f"llama.cpp: {result['error']}"]
    found = []
    if "cosine" in case:
        if abs(case["cosine"] - result["cosine"]) > 1e-3:
            found.append(f"a cosine of {result['cosine']:.6f} instead of {case['cosine']:.6f}")
        return found
    allowed = TOLERANCE.get(case["name"], TOLERANCE["default"])
    for wanted, got in zip(case["nll"], result["nll"]):
        if not math.isfinite(got) or abs(wanted - got) > allowed:
            found.append(f"a loss of {got:.6f} instead of {wanted:.6f} nats")
    for text, wanted, got in zip(TEXTS, case["tokens"], result["tokens"]):
        if wanted != got:
            found.append(f"{text!r}: tokens {got} instead of {wanted}")
    return found


def read_by_gguf(case):
    reader = gguf.GGUFReader(case["file"])
    for tensor in reader.tensors:
        if tensor.tensor_type.name not in ("F32", "F16", "BF16"):
            gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return [] if len(reader.tensors) > 0 else ["gguf reads no tensors"]


def run_llama(cases):
    """The results of llama.js; of each case in a process of its own if one of them ends it."""
    path = os.path.join(out, "cases.json")
    with open(path, "w") as f:
        json.dump(cases, f)
    done = subprocess.run(["node", "llama.js", path], cwd=out, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)
    if len(cases) > 1:
        return [run_llama([case])[0] for case in cases]
    return [{"error": done.stderr.strip()[-400:]}]


def main():
    names = sorted(os.listdir(families))
    names = [n for n in names if os.path.isdir(os.path.join(families, n)) and n not in UNKNOWN]
    cases, failed, passed = [], 0, 0
    for name in names:
        try:
            cases.append(write_encoder(name) if name in ENCODERS else write(name))
        except RuntimeError as error:
            failed += 1
            print(f"{name}: {error}")
    for case, result in zip(cases, run_llama(cases)):
        name = case["name"]
        if name in REFUSED:
            wrong = [] if "error" in result else ["llama.cpp loads it, so it can be compared"]
        else:
            wrong = faults(case, result)
        wrong += read_by_gguf(case)
        detail = f"  cosine {result['cosine']:.6f}" if "cosine" in result else "" if "nll" not in result else f"  losses {', '.join(f'{n:.6f}' for n in result['nll'])}"
        print(f"{name:18} {'differs' if wrong else 'agrees'}{detail}")
        for sentence in wrong:
            print(f"    {sentence}")
        failed += 1 if wrong else 0
        passed += 0 if wrong else 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
