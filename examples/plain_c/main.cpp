// A Llama in float32, in the style of many small engines: one file, pointers into the checkpoint, malloc.
// It reads a llama2.c checkpoint (version 0) and prints the token ids of a greedy continuation.
// docs/put_it_in_your_engine.md converts it to mixed precision; examples/plain_c_packed is the result.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config {
  int dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
};

struct weights {
  float *token_embedding, *wcls;         // [vocab x dim]
  float *rms_att, *rms_ffn, *rms_final;  // [layers x dim], [dim]
  float *wq, *wk, *wv, *wo;              // [layers x rows x dim]
  float *w1, *w2, *w3;                   // gate, down, up
};

struct state {
  float *x, *xb, *xb2, *hb, *hb2, *q, *att, *logits, *key_cache, *value_cache;
};

static void fail(const char* what) {
  fprintf(stderr, "plain_c: %s\n", what);
  exit(2);
}

static float* floats(size_t n) {
  float* const p = static_cast<float*>(calloc(n, sizeof(float)));
  if (p == NULL) fail("out of memory");
  return p;
}

static void rmsnorm(float* out, const float* x, const float* weight, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(n) + 1e-5f);
  for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void softmax(float* x, size_t n) {
  float top = x[0], sum = 0;
  for (size_t i = 1; i < n; i++) top = fmaxf(top, x[i]);
  for (size_t i = 0; i < n; i++) sum += x[i] = expf(x[i] - top);
  for (size_t i = 0; i < n; i++) x[i] /= sum;
}

// out[d] = w[d x n] x[n]
static void matmul(float* out, const float* x, const float* w, size_t n, size_t d) {
  for (size_t i = 0; i < d; i++) {
    float sum = 0;
    for (size_t j = 0; j < n; j++) sum += w[i * n + j] * x[j];
    out[i] = sum;
  }
}

static void rotate(float* v, size_t heads, size_t head_size, size_t pos) {
  for (size_t i = 0; i < heads * head_size; i += 2) {
    const float angle =
        static_cast<float>(pos) * powf(10000.0f, -static_cast<float>(i % head_size) / static_cast<float>(head_size));
    const float c = cosf(angle), s = sinf(angle), a = v[i], b = v[i + 1];
    v[i] = a * c - b * s;
    v[i + 1] = a * s + b * c;
  }
}

static float* forward(const config* c, const weights* w, state* s, size_t token, size_t pos) {
  const size_t dim = static_cast<size_t>(c->dim), hidden = static_cast<size_t>(c->hidden_dim);
  const size_t heads = static_cast<size_t>(c->n_heads), kv_heads = static_cast<size_t>(c->n_kv_heads);
  const size_t head_size = dim / heads, kv_dim = kv_heads * head_size, context = static_cast<size_t>(c->seq_len);
  float* const x = s->x;
  memcpy(x, w->token_embedding + token * dim, dim * sizeof(float));

  for (size_t l = 0; l < static_cast<size_t>(c->n_layers); l++) {
    rmsnorm(s->xb, x, w->rms_att + l * dim, dim);
    float* const keys = s->key_cache + l * context * kv_dim;
    float* const values = s->value_cache + l * context * kv_dim;
    matmul(s->q, s->xb, w->wq + l * dim * dim, dim, dim);
    matmul(keys + pos * kv_dim, s->xb, w->wk + l * dim * kv_dim, dim, kv_dim);
    matmul(values + pos * kv_dim, s->xb, w->wv + l * dim * kv_dim, dim, kv_dim);
    rotate(s->q, heads, head_size, pos);
    rotate(keys + pos * kv_dim, kv_heads, head_size, pos);

    for (size_t h = 0; h < heads; h++) {
      const float* const q = s->q + h * head_size;
      const size_t kv = h / (heads / kv_heads) * head_size;
      for (size_t t = 0; t <= pos; t++) {
        const float* const k = keys + t * kv_dim + kv;
        float score = 0;
        for (size_t i = 0; i < head_size; i++) score += q[i] * k[i];
        s->att[t] = score / sqrtf(static_cast<float>(head_size));
      }
      softmax(s->att, pos + 1);
      float* const out = s->xb + h * head_size;
      memset(out, 0, head_size * sizeof(float));
      for (size_t t = 0; t <= pos; t++)
        for (size_t i = 0; i < head_size; i++) out[i] += s->att[t] * values[t * kv_dim + kv + i];
    }
    matmul(s->xb2, s->xb, w->wo + l * dim * dim, dim, dim);
    for (size_t i = 0; i < dim; i++) x[i] += s->xb2[i];

    rmsnorm(s->xb, x, w->rms_ffn + l * dim, dim);
    matmul(s->hb, s->xb, w->w1 + l * dim * hidden, dim, hidden);
    matmul(s->hb2, s->xb, w->w3 + l * dim * hidden, dim, hidden);
    for (size_t i = 0; i < hidden; i++) s->hb[i] *= s->hb2[i] / (1.0f + expf(-s->hb[i]));
    matmul(s->xb, s->hb, w->w2 + l * dim * hidden, hidden, dim);
    for (size_t i = 0; i < dim; i++) x[i] += s->xb[i];
  }
  rmsnorm(x, x, w->rms_final, dim);
  matmul(s->logits, x, w->wcls, dim, static_cast<size_t>(c->vocab_size));
  return s->logits;
}

static float* take(float** at, const float* end, size_t n) {
  if (n > static_cast<size_t>(end - *at)) fail("the checkpoint is too short");
  float* const p = *at;
  *at += n;
  return p;
}

static void load(const char* path, config* c, weights* w) {
  FILE* const file = fopen(path, "rb");
  if (file == NULL) fail("the checkpoint cannot be opened");
  fseek(file, 0, SEEK_END);
  const long size = ftell(file) - static_cast<long>(sizeof *c);
  rewind(file);
  if (size < 0 || fread(c, sizeof *c, 1, file) != 1) fail("the checkpoint is too short");
  const int fields[] = {c->dim, c->hidden_dim, c->n_layers, c->n_heads, c->n_kv_heads, c->seq_len};
  for (const int field : fields)
    if (field <= 0 || field > 1 << 20) fail("not a llama2.c checkpoint of version 0");
  const bool shared = c->vocab_size > 0;
  c->vocab_size = abs(c->vocab_size);
  const size_t n = static_cast<size_t>(size) / sizeof(float);
  float* at = floats(n);
  const float* const end = at + n;
  if (fread(at, sizeof(float), n, file) != n) fail("the checkpoint cannot be read");
  fclose(file);

  const size_t dim = static_cast<size_t>(c->dim), hidden = static_cast<size_t>(c->hidden_dim);
  const size_t layers = static_cast<size_t>(c->n_layers), vocab = static_cast<size_t>(c->vocab_size);
  const size_t head_size = dim / static_cast<size_t>(c->n_heads);
  const size_t kv_dim = head_size * static_cast<size_t>(c->n_kv_heads);
  w->token_embedding = take(&at, end, vocab * dim);
  w->rms_att = take(&at, end, layers * dim);
  w->wq = take(&at, end, layers * dim * dim);
  w->wk = take(&at, end, layers * kv_dim * dim);
  w->wv = take(&at, end, layers * kv_dim * dim);
  w->wo = take(&at, end, layers * dim * dim);
  w->rms_ffn = take(&at, end, layers * dim);
  w->w1 = take(&at, end, layers * hidden * dim);
  w->w2 = take(&at, end, layers * dim * hidden);
  w->w3 = take(&at, end, layers * hidden * dim);
  w->rms_final = take(&at, end, dim);
  take(&at, end, static_cast<size_t>(c->seq_len) * head_size);  // tables of angles
  w->wcls = shared ? w->token_embedding : take(&at, end, vocab * dim);
}

int main(int argc, char** argv) {
  if (argc < 3) {
    printf("usage: plain_c CHECKPOINT.bin TOKENS\n");
    return 0;
  }
  config c;
  weights w;
  load(argv[1], &c, &w);
  const size_t dim = static_cast<size_t>(c.dim), hidden = static_cast<size_t>(c.hidden_dim);
  const size_t context = static_cast<size_t>(c.seq_len), vocab = static_cast<size_t>(c.vocab_size);
  const size_t cache = static_cast<size_t>(c.n_layers) * context * dim;
  state s = {floats(dim), floats(dim),     floats(dim),   floats(hidden), floats(hidden),
             floats(dim), floats(context), floats(vocab), floats(cache),  floats(cache)};

  const size_t count = static_cast<size_t>(atoi(argv[2]));
  size_t token = 1;  // BOS
  for (size_t pos = 0; pos < count && pos < context; pos++) {
    const float* const logits = forward(&c, &w, &s, token, pos);
    token = 0;
    for (size_t i = 1; i < vocab; i++)
      if (logits[i] > logits[token]) token = i;
    printf("%zu\n", token);
  }
  float* const mine[] = {
      s.x, s.xb, s.xb2, s.hb, s.hb2, s.q, s.att, s.logits, s.key_cache, s.value_cache, w.token_embedding};
  for (float* const p : mine) free(p);
  return 0;
}
