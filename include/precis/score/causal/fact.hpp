#pragma once

#include <precis/core/error.hpp>
#include <precis/model/batch.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace precis::score {

/// A prompt about a subject, and the token that completes it.
struct fact {
  std::string name{};                  ///< for reports and messages
  std::vector<token> prompt{};         ///< [tokens]
  std::size_t subject_begin = 0;       ///< first subject token
  std::size_t subject_end = 0;         ///< one past the last subject token
  token answer = 0;                    ///< the token that follows the prompt
  std::vector<token> subject_alone{};  ///< the subject tokenised alone, for the noise scale; may be empty

  bool operator==(const fact&) const = default;
};

/// Refuses a fact whose subject is not inside its prompt.
template<class = void>
inline void check(const fact& f) {
  if (f.prompt.empty() || f.subject_begin >= f.subject_end || f.subject_end > f.prompt.size())
    refuse({.what = "fact '" + f.name + "' has its subject at tokens [" + std::to_string(f.subject_begin) + ", " +
                    std::to_string(f.subject_end) + ") of " + std::to_string(f.prompt.size()),
            .where = "score::causal_trace",
            .expected = "at least one subject token inside the prompt"});
}

/// The role of a position in its prompt: prompts of different lengths have the same roles.
enum class token_role { first_subject, middle_subject, last_subject, first_after, further, last };

inline constexpr std::array<token_role, 6> token_roles{token_role::first_subject, token_role::middle_subject,
                                                       token_role::last_subject,  token_role::first_after,
                                                       token_role::further,       token_role::last};

[[nodiscard]] constexpr std::string_view to_string(token_role r) noexcept {
  switch (r) {
    case token_role::first_subject: return "first subject token";
    case token_role::middle_subject: return "middle subject tokens";
    case token_role::last_subject: return "last subject token";
    case token_role::first_after: return "first token after";
    case token_role::further: return "further tokens";
    case token_role::last: break;
  }
  return "last token";
}

/// The positions with a given role in a prompt of `tokens` tokens. A position can have several roles: a one-token
/// subject is both first and last. A role without positions is absent, and does not count as zero.
template<class = void>
[[nodiscard]] inline std::vector<std::size_t> positions_of(token_role role, std::size_t subject_begin,
                                                           std::size_t subject_end, std::size_t tokens) {
  const auto range = [](std::size_t from, std::size_t to) {
    std::vector<std::size_t> all;
    for (std::size_t t = from; t < to; ++t) all.push_back(t);
    return all;
  };
  switch (role) {
    case token_role::first_subject: return range(subject_begin, subject_begin + 1);
    case token_role::middle_subject: return range(subject_begin + 1, subject_end - 1);
    case token_role::last_subject: return range(subject_end - 1, subject_end);
    case token_role::first_after: return range(subject_end, subject_end < tokens ? subject_end + 1 : subject_end);
    case token_role::further: return range(subject_end + 1, tokens - 1);
    case token_role::last: break;
  }
  return range(tokens - 1, tokens);
}

}  // namespace precis::score
