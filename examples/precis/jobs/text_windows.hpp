#pragma once

#include <precis/evaluate/perplexity.hpp>
#include <precis/model/batch.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace engine {
class transformer;
}

namespace program {

class checkpoint;
struct run_options;
struct session;

/// Non-overlapping windows of a text: window i reads tokens [n i, n i + n) and predicts the next ones, without context
/// from the window before. With BOS, it reads BOS and tokens [n i, n i + n - 1), and predicts tokens [n i, n i + n).
struct text_windows {
  std::string name;                          ///< the file's name
  std::size_t tokens = 0;                    ///< in the whole text
  std::size_t length = 0;                    ///< predictions per window
  std::vector<precis::token_batch> windows;  ///< one sequence each
  std::string special_tokens = {};           ///< parsed or plain in the text; empty for token ids
  bool bos = false;                          ///< every window begins with the beginning-of-sequence token

  /// What was done to the text: ", special tokens parsed; every window begins with BOS".
  [[nodiscard]] std::string notes() const {
    return (special_tokens.empty() ? "" : ", special tokens " + special_tokens) +
           (bos ? "; every window begins with BOS" : "");
  }
};
struct text_options {
  std::string file;
  std::size_t length = 0;      ///< predictions per window; 0: one less than the model's context
  std::size_t windows = 0;     ///< 0: all
  bool windows_given = false;  ///< by the user; a default gives way to a text that has fewer
  bool bos = false;            ///< begin every window with the model's beginning-of-sequence token
  /// The options that state `length` and `windows`, for messages; "": none.
  std::string length_option = "--context", windows_option = "--windows";
};
/// A file that ends in .json holds token ids instead of text, {"sequences": [[1, 403, ...], ...]}; windows do not span
/// two sequences. By default windows are as long as the shortest sequence, or a short text, allows. Says on stderr
/// where the text is shorter than the defaults.
/// Errors: ids outside the vocabulary; a model without BOS; a text without a prediction; and, if given, more windows than there are, windows
/// longer than the text or the context.
[[nodiscard]] text_windows read_windows(const session& s, const text_options& o);

/// The windows in batches of up to eight sequences: larger products, and the same sum of gradients.
[[nodiscard]] std::vector<precis::token_batch> batched(const text_windows& text);

/// Loss of every window.
struct text_loss {
  precis::evaluate::nll_report report;
  bool stopped = false;  ///< by Ctrl-C: some windows are missing

  [[nodiscard]] double perplexity() const noexcept { return report.perplexity(); }
  [[nodiscard]] double nats() const noexcept { return report.total.mean(); }
  /// 95 % confidence, nats per token; 0 for a single window.
  [[nodiscard]] double half_width() const noexcept {
    const double h = report.confidence().half_width;
    return std::isfinite(h) ? h : 0.0;
  }
};
/// Windows already in the checkpoint are not run again; the others are added to it.
/// Errors: a loss that is not finite. Throws `stopped` if no window is finished.
[[nodiscard]] text_loss measure(const engine::transformer& model, const text_windows& text, const run_options& o,
                                const std::string& label, checkpoint* saved = nullptr);

/// The KL divergence of a model from the original, nats per token, in the same way.
/// Errors: those of measure::kl_divergence.
[[nodiscard]] text_loss divergence(const session& original, const session& s, const text_windows& text,
                                   const run_options& o, checkpoint* saved = nullptr);

}  // namespace program
