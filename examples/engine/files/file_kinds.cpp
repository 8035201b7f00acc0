#include <engine/files/file_kinds.hpp>

#include <string_view>

namespace engine {
namespace {

/// One kind of file: what is done with it, and what it becomes without loss.
struct file_kind {
  std::string_view kind, read, written, lossless;
};

constexpr file_kind kinds[] = {
    {.kind = "Hugging Face folder, F32, F16 or BF16",
     .read = "every command",
     .written = "by `precis_train` only",
     .lossless = "to a compressed folder, or to GGUF"},
    {.kind = "GPTQ folder, 2, 3, 4 or 8 bits",
     .read = "every command",
     .written = "no",
     .lossless = "to a compressed folder; to GGUF as in the table below"},
    {.kind = "AWQ folder (gemm), 4 bits", .read = "every command", .written = "no", .lossless = "likewise"},
    {.kind = "compressed-tensors, `pack-quantized` 4 or 8 bits, `int-quantized` 8 bits",
     .read = "every command",
     .written = "no",
     .lossless = "likewise"},
    {.kind = "compressed-tensors, `mxfp4-pack-quantized`",
     .read = "every command",
     .written = "no",
     .lossless = "to GGUF, `mxfp4`: the same codes in another order"},
    {.kind = "gpt-oss folder, experts in MXFP4",
     .read = "every command",
     .written = "no",
     .lossless = "to GGUF, `mxfp4`: the same codes in another order"},
    {.kind = "[compressed folder](compressed-folder.md)",
     .read = "every command",
     .written = "`compress --out FOLDER`",
     .lossless = "it is the packed form"},
    {.kind = "llama2.c `.bin`",
     .read = "every command",
     .written = "no",
     .lossless = "to a compressed folder, or to GGUF"},
    {.kind = "[GGUF](gguf.md) F32, F16, BF16",
     .read = "every command",
     .written = "`compress --out NAME.gguf`",
     .lossless = "to another GGUF file"},
    {.kind = "GGUF, every block type",
     .read = "every command; those that choose formats with `--allow-requantize`",
     .written = "`compress --out NAME.gguf`",
     .lossless = "to another GGUF file"},
    {.kind = "GGUF in several files",
     .read = "as one",
     .written = "`compress --out NAME.gguf --split SIZE`",
     .lossless = "to one GGUF file"},
    {.kind = "importance matrix of llama-imatrix, GGUF or `.dat`",
     .read = "`plan`, `compress` with `--imatrix`",
     .written = "`precis imatrix`",
     .lossless = "one form to the other, but for counts of single experts"},
};

}  // namespace

std::string file_kind_table() {
  std::string text = "| kind | read | written | repacked without loss |\n|---|---|---|---|\n";
  for (const file_kind& k : kinds)
    text += "| " + std::string(k.kind) + " | " + std::string(k.read) + " | " + std::string(k.written) + " | " +
            std::string(k.lossless) + " |\n";
  return text;
}

}  // namespace engine
