#!/usr/bin/env python3
"""Generates the tiny BERT, OPT and Phi checkpoints of tests/engine/checkpoints, with golden results.

    python3 tests/engine/make_checkpoints.py        (Debian: apt install python3-torch)

The models are implemented here in plain PyTorch, after Devlin et al. 2018 (arXiv:1810.04805), Zhang et al. 2022
(arXiv:2205.01068) and Javaheripi et al. 2023 (Phi-2, whose blocks are those of Wang and Komatsuzaki 2021), with the tensor
names and files of Hugging Face's library; so is WordPiece. Golden values are computed in float64 from the weights as they
are stored. The output depends only on this file: initial weights come from a generator in it, so every machine produces
the same numbers, up to the last digits of golden.json.
"""
import json
import math
import pathlib
import re
import struct
import unicodedata

import torch

OUT = pathlib.Path(__file__).parent / "checkpoints"
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Numbers:
    """Uniform numbers in [-1, 1) from a linear congruential generator."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return ((self.state >> 32) - 2**31) / 2**31

    def below(self, n):
        return int((self.next() + 1) / 2 * n)


def draw(shapes, seed, storage):
    """Draws a tensor for every name, norm scales around 1 and all others around 0, rounded to the stored type."""
    numbers, tensors = Numbers(seed), {}
    for name, shape in shapes.items():
        scale = "norm" in name.lower() and name.endswith("weight")
        size = 0.15 if len(shape) == 1 else 0.5
        values = [numbers.next() * size + (1 if scale else 0) for _ in range(math.prod(shape))]
        tensors[name] = torch.tensor(values).reshape(shape).to(storage)
    return tensors


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, t in tensors.items():
        letter, kind = {torch.float32: ("f", "F32"), torch.float16: ("e", "F16")}[t.dtype]
        raw = struct.pack(f"<{t.numel()}{letter}", *t.flatten().tolist())
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def digits(x):
    return float(f"{x:.12g}")


def summaries(parameters):
    """For every gradient: squared norm, product with the weights, first and last value."""
    return {
        name: [digits(v) for v in (p.grad.pow(2).sum(), (p.grad * p).sum(), p.grad.flatten()[0], p.grad.flatten()[-1])]
        for name, p in parameters.items()
    }


def layer_norm(x, p, name, epsilon):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + epsilon) * p[name + ".weight"] + p[name + ".bias"]


def linear(x, p, name):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def attention(q, k, v, heads, allowed):
    """All [batch, tokens, width]; allowed [batch or 1, queries, keys] is the attention mask."""
    b, t, width = q.shape
    split = lambda x: x.reshape(b, t, heads, width // heads).transpose(1, 2)
    scores = split(q) @ split(k).transpose(2, 3) / math.sqrt(width // heads)
    scores = scores.masked_fill(~allowed[:, None], -torch.inf)
    return (torch.softmax(scores, -1) @ split(v)).transpose(1, 2).reshape(b, t, width)


# --- BERT -----------------------------------------------------------------------------------------------------------


def bert_shapes(c):
    w, h = c["hidden_size"], c["intermediate_size"]
    shapes = {
        "bert.embeddings.word_embeddings.weight": (c["vocab_size"], w),
        "bert.embeddings.position_embeddings.weight": (c["max_position_embeddings"], w),
        "bert.embeddings.token_type_embeddings.weight": (c["type_vocab_size"], w),
        "bert.embeddings.LayerNorm.weight": (w,),
        "bert.embeddings.LayerNorm.bias": (w,),
    }
    for layer in range(c["num_hidden_layers"]):
        for name, out, n in [
            ("attention.self.query", w, w),
            ("attention.self.key", w, w),
            ("attention.self.value", w, w),
            ("attention.output.dense", w, w),
            ("attention.output.LayerNorm", w, None),
            ("intermediate.dense", h, w),
            ("output.dense", w, h),
            ("output.LayerNorm", w, None),
        ]:
            full = f"bert.encoder.layer.{layer}.{name}"
            shapes[full + ".weight"] = (out,) if n is None else (out, n)
            shapes[full + ".bias"] = (out,)
    labels = len(c["id2label"])
    for name, out in [("bert.pooler.dense", w), ("classifier", labels)]:
        shapes[name + ".weight"], shapes[name + ".bias"] = (out, w), (out,)
    return shapes


def bert_logits(p, c, ids, types, lengths):
    b, t = ids.shape
    epsilon = c["layer_norm_eps"]
    allowed = (torch.arange(t)[None] < lengths[:, None])[:, None].expand(b, t, t)
    x = p["bert.embeddings.word_embeddings.weight"][ids]
    x = x + p["bert.embeddings.position_embeddings.weight"][torch.arange(t)]
    x = x + p["bert.embeddings.token_type_embeddings.weight"][types]
    x = layer_norm(x, p, "bert.embeddings.LayerNorm", epsilon)
    for layer in range(c["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}."
        q, k, v = (linear(x, p, at + "attention.self." + n) for n in ("query", "key", "value"))
        a = attention(q, k, v, c["num_attention_heads"], allowed)
        x = layer_norm(x + linear(a, p, at + "attention.output.dense"), p, at + "attention.output.LayerNorm", epsilon)
        h = linear(x, p, at + "intermediate.dense")
        h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
        x = layer_norm(x + linear(h, p, at + "output.dense"), p, at + "output.LayerNorm", epsilon)
    pooled = torch.tanh(linear(x[:, 0], p, "bert.pooler.dense"))
    return linear(pooled, p, "classifier")


class WordPiece:
    """BERT's tokenizer, character by character."""

    def __init__(self, vocabulary, lower):
        self.ids, self.lower = {token: i for i, token in enumerate(vocabulary)}, lower

    @staticmethod
    def is_blank(c):
        return c in " \t\n\r" or unicodedata.category(c)[0] == "Z"

    @staticmethod
    def is_punctuation(c):
        ascii_symbol = "!" <= c <= "/" or ":" <= c <= "@" or "[" <= c <= "`" or "{" <= c <= "~"
        return ascii_symbol or unicodedata.category(c).startswith("P")

    @staticmethod
    def is_ideograph(c):
        p = ord(c)
        return any(a <= p <= b for a, b in [
            (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
            (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)])

    def words(self, text):
        clean = ""
        for c in text:
            if self.is_blank(c):
                clean += " "
            elif c not in "\0\ufffd" and unicodedata.category(c)[0] != "C":
                clean += f" {c} " if self.is_ideograph(c) else c
        if self.lower:
            clean = "".join(c for c in unicodedata.normalize("NFD", clean) if unicodedata.category(c) != "Mn")
            clean = "".join(c.lower() for c in clean)
        spaced = "".join(f" {c} " if self.is_punctuation(c) else c for c in clean)
        return spaced.split(" ")

    def pieces(self, word):
        found, start = [], 0
        if len(word) > 100:
            return ["[UNK]"]
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.ids:
                    break
            else:
                return ["[UNK]"]
            found.append(piece)
            start = end
        return found

    def encode(self, text):
        middle = [self.ids[p] for w in self.words(text) for p in self.pieces(w)]
        return [self.ids["[CLS]"]] + middle + [self.ids["[SEP]"]]


def bert_vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz"
    first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = "the film was good bad not very un a caf \u4e2d \u1112 = . , ! ' - \u03c3 \u00df 1".split()
    later = "##believ ##able ##ly ##ing ##s ##\u1161 ##\u11ab ##\u03c3 ##1".split()
    return (first + words + later + [c for c in letters if c not in words] +
            ["##" + c for c in letters if "##" + c not in later])


def wordpiece_cases(vocabulary):
    texts = [
        "", " ", "The film was good.", "UNBELIEVABLY good, not bad!!", "the\tfilm\r\nwas\u00a0very\u2028good\u3000a",
        "caf\u00e9 cafe\u0301 CAF\u00c9 \u0130", "\u4e2d\u4e2da \uf900\u4e2d", "\ud55c\ud558", "a\u0000b\u200bc\ufffdd\x07",
        "\u03a3\u03a3 \u03c3\u03c2 \u00df\u1e9e", "not-good 'film'", "a" * 100, "a" * 101, "\u0300 \u0301a", "\u2260 \u2248",
        "\U0001f600 good", "film\U0001d163", "[SEP] [UNK]", "##ing ing", "1\u0661 11", "\u2026\u00abgood\u00bb\u3002",
        "good\u0085bad\u001cbad\x0bbad", "\u1fc1 \u037e \u1fef\u2000a",
    ]
    numbers = Numbers(7)
    accented = [chr(c) for c in range(0xC0, 0x250)] + [chr(c) for c in range(0x1E00, 0x1F00)]
    for _ in range(12):
        words = ["".join(accented[numbers.below(len(accented))] for _ in range(1 + numbers.below(6))) for _ in range(5)]
        texts.append(" ".join(words))
    lower, cased = WordPiece(vocabulary, True), WordPiece(vocabulary, False)
    return [{"text": t, "uncased": lower.encode(t), "cased": cased.encode(t)} for t in texts]


def make_bert():
    folder = OUT / "bert"
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = bert_vocabulary()
    config = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": len(vocabulary),
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24, "hidden_act": "gelu",
        "max_position_embeddings": 24, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "position_embedding_type": "absolute", "id2label": {"0": "bad", "1": "good", "2": "unclear"},
        "label2id": {"bad": 0, "good": 1, "unclear": 2},
    }
    stored = draw(bert_shapes(config), 1, torch.float32)
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", stored)

    tokens = WordPiece(vocabulary, True)
    texts = ["The film was very, very good!", "bad", "unbelievably bad caf\u00e9", "not good"]
    sequences = [tokens.encode(t) for t in texts]
    t = max(len(s) for s in sequences)
    lengths = [len(s) for s in sequences]
    ids = [s + [0] * (t - len(s)) for s in sequences]
    types = [[1 if i >= 4 and i < n else 0 for i in range(t)] for n in lengths]
    labels = [1, 0, 2, 0]
    p = {name: v.double().requires_grad_() for name, v in stored.items()}
    logits = bert_logits(p, config, torch.tensor(ids), torch.tensor(types), torch.tensor(lengths))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="sum")
    loss.backward()
    write_json(folder / "golden.json", {
        "ids": ids, "types": types, "lengths": lengths, "labels": labels, "texts": texts,
        "logits": [[digits(v) for v in row] for row in logits.tolist()], "loss_sum": digits(loss.item()),
        "gradients": summaries(p), "wordpiece": wordpiece_cases(vocabulary),
    })


# --- OPT ------------------------------------------------------------------------------------------------------------


def opt_shapes(c):
    w, h = c["hidden_size"], c["ffn_dim"]
    shapes = {
        "model.decoder.embed_tokens.weight": (c["vocab_size"], w),
        "model.decoder.embed_positions.weight": (c["max_position_embeddings"] + 2, w),
        "model.decoder.final_layer_norm.weight": (w,),
        "model.decoder.final_layer_norm.bias": (w,),
    }
    for layer in range(c["num_hidden_layers"]):
        for name, out, n in [
            ("self_attn.k_proj", w, w), ("self_attn.v_proj", w, w), ("self_attn.q_proj", w, w),
            ("self_attn.out_proj", w, w), ("self_attn_layer_norm", w, None), ("fc1", h, w), ("fc2", w, h),
            ("final_layer_norm", w, None),
        ]:
            full = f"model.decoder.layers.{layer}.{name}"
            shapes[full + ".weight"] = (out,) if n is None else (out, n)
            shapes[full + ".bias"] = (out,)
    return shapes


def opt_logits(p, c, ids):
    b, t = ids.shape
    d, epsilon = "model.decoder.", 1e-5
    allowed = torch.ones(t, t, dtype=torch.bool).tril()[None]
    x = p[d + "embed_tokens.weight"][ids] + p[d + "embed_positions.weight"][torch.arange(t) + 2]
    for layer in range(c["num_hidden_layers"]):
        at = f"{d}layers.{layer}."
        y = layer_norm(x, p, at + "self_attn_layer_norm", epsilon)
        q, k, v = (linear(y, p, at + f"self_attn.{n}_proj") for n in "qkv")
        x = x + linear(attention(q, k, v, c["num_attention_heads"], allowed), p, at + "self_attn.out_proj")
        y = layer_norm(x, p, at + "final_layer_norm", epsilon)
        x = x + linear(torch.relu(linear(y, p, at + "fc1")), p, at + "fc2")
    return layer_norm(x, p, d + "final_layer_norm", epsilon) @ p[d + "embed_tokens.weight"].T


def byte_characters():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return {**{b: chr(b) for b in visible}, **{b: chr(0x100 + i) for i, b in enumerate(hidden)}}


def byte_bpe(text, ids, merges, characters):
    """Splits ASCII texts."""
    out = []
    for word in re.findall(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", text):
        symbols = [characters[b] for b in word.encode()]
        for left, right in iter(lambda: next((m for m in merges if m in zip(symbols, symbols[1:])), None), None):
            joined, i = [], 0
            while i < len(symbols):
                step = 2 if tuple(symbols[i:i + 2]) == (left, right) else 1
                joined.append("".join(symbols[i:i + step]))
                i += step
            symbols = joined
        out += [ids[s] for s in symbols]
    return out


def make_opt():
    folder = OUT / "opt"
    folder.mkdir(parents=True, exist_ok=True)
    characters = byte_characters()
    blank = characters[ord(" ")]
    merges = [("t", "h"), ("th", "e"), (blank, "the"), ("i", "n"), (blank, "a"), ("o", "o"), ("oo", "d"), ("g", "ood"),
              (blank, "good")]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *characters.values(), *(a + b for a, b in merges)]
    ids = {token: i for i, token in enumerate(vocabulary)}
    config = {
        "architectures": ["OPTForCausalLM"], "model_type": "opt", "vocab_size": 272, "hidden_size": 16,
        "word_embed_proj_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 40,
        "max_position_embeddings": 20, "activation_function": "relu", "do_layer_norm_before": True, "bos_token_id": 2,
        "eos_token_id": 2, "pad_token_id": 1, "_remove_final_layer_norm": False,
    }
    stored = draw(opt_shapes(config), 2, torch.float16)
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", {"add_bos_token": True, "bos_token": {"content": "</s>"}})
    write_json(folder / "vocab.json", ids)
    lines = ["#version: 0.2"] + [f"{a} {b}" for a, b in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", stored)

    texts = ["the good thing in a the", "a good  film, isn't it? 42", "", " the\n\ngoodood"]
    encoded = [[2] + byte_bpe(t, ids, merges, characters) for t in texts]
    numbers = Numbers(3)
    batch = torch.tensor([[numbers.below(272) for _ in range(14)] for _ in range(3)])
    p = {name: v.double().requires_grad_() for name, v in stored.items()}
    logits = opt_logits(p, config, batch[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 272), batch[:, 1:].reshape(-1), reduction="sum")
    loss.backward()
    write_json(folder / "golden.json", {
        "batch": batch.tolist(), "loss_sum": digits(loss.item()),
        "last_logits": [[digits(v) for v in row] for row in logits[:, -1].tolist()],
        "gradients": summaries(p), "tokenizer": [{"text": t, "ids": e} for t, e in zip(texts, encoded)],
    })


# --- Phi ------------------------------------------------------------------------------------------------------------


def phi_shapes(c):
    w, h = c["hidden_size"], c["intermediate_size"]
    kv = w // c["num_attention_heads"] * c["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], w)}
    for layer in range(c["num_hidden_layers"]):
        for name, out, n in [
            ("self_attn.q_proj", w, w), ("self_attn.k_proj", kv, w), ("self_attn.v_proj", kv, w),
            ("self_attn.dense", w, w), ("mlp.fc1", h, w), ("mlp.fc2", w, h), ("input_layernorm", w, None),
        ]:
            full = f"model.layers.{layer}.{name}"
            shapes[full + ".weight"] = (out,) if n is None else (out, n)
            shapes[full + ".bias"] = (out,)
    for name, shape in [("model.final_layernorm", (w,)), ("lm_head", (c["vocab_size"], w))]:
        shapes[name + ".weight"], shapes[name + ".bias"] = shape, shape[:1]
    return shapes


def turned(x, heads, c):
    """Rotary positions on the first n features of every head, with pairs (i, i + n / 2)."""
    b, t, width = x.shape
    x = x.reshape(b, t, heads, width // heads)
    n = int(c["partial_rotary_factor"] * (width // heads))
    angle = torch.arange(t)[:, None] * c["rope_theta"] ** (-torch.arange(n // 2) * 2 / n)
    cosine, sine = torch.cos(angle)[None, :, None], torch.sin(angle)[None, :, None]
    a, b_half, rest = x[..., : n // 2], x[..., n // 2 : n], x[..., n:]
    x = torch.cat([a * cosine - b_half * sine, b_half * cosine + a * sine, rest], -1)
    return x.reshape(b, t, width)


def phi_logits(p, c, ids):
    t, heads, kv_heads = ids.shape[1], c["num_attention_heads"], c["num_key_value_heads"]
    epsilon, allowed = c["layer_norm_eps"], torch.ones(t, t, dtype=torch.bool).tril()[None]

    def shared(x):  # every key-value head serves several query heads
        b, _, width = x.shape
        x = x.reshape(b, t, kv_heads, 1, width // kv_heads).expand(b, t, kv_heads, heads // kv_heads, width // kv_heads)
        return x.reshape(b, t, -1)

    x = p["model.embed_tokens.weight"][ids]
    for layer in range(c["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = layer_norm(x, p, at + "input_layernorm", epsilon)
        q, k, v = (linear(y, p, at + f"self_attn.{n}_proj") for n in "qkv")
        a = attention(turned(q, heads, c), shared(turned(k, kv_heads, c)), shared(v), heads, allowed)
        h = linear(y, p, at + "mlp.fc1")
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + linear(a, p, at + "self_attn.dense") + linear(h, p, at + "mlp.fc2")
    return linear(layer_norm(x, p, "model.final_layernorm", epsilon), p, "lm_head")


def make_phi():
    folder = OUT / "phi"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["PhiForCausalLM"], "model_type": "phi", "vocab_size": 258, "hidden_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 20, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": None, "partial_rotary_factor": 0.4, "qk_layernorm": False, "tie_word_embeddings": False,
    }
    stored = draw(phi_shapes(config), 4, torch.float16)
    characters = byte_characters()
    vocabulary = ["<|endoftext|>", *characters.values(), characters[ord("t")] + characters[ord("h")]]
    write_json(folder / "config.json", config)
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("#version: 0.2\nt h\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", stored)

    numbers = Numbers(5)
    batch = torch.tensor([[numbers.below(258) for _ in range(14)] for _ in range(3)])
    p = {name: v.double().requires_grad_() for name, v in stored.items()}
    logits = phi_logits(p, config, batch[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 258), batch[:, 1:].reshape(-1), reduction="sum")
    loss.backward()
    write_json(folder / "golden.json", {
        "batch": batch.tolist(), "loss_sum": digits(loss.item()),
        "last_logits": [[digits(v) for v in row] for row in logits[:, -1].tolist()],
        "gradients": summaries(p),
    })


if __name__ == "__main__":
    make_bert()
    make_opt()
    make_phi()
