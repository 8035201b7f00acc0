#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Generates the training data of the model that ships with the project: an invented world and texts about it.
namespace train {

enum class relation {
  born_in,
  lives_in,
  works_as,
  plays,
  keeps,
  in_country,
  known_for,
  capital,
  money,
  based_in,
  makes
};
inline constexpr std::size_t relations = 11;

[[nodiscard]] std::string_view to_string(relation r) noexcept;  ///< "born_in"

enum class kind { person, city, country, company };

/// A person, city, country or company that has facts.
struct subject {
  std::string name;
  train::kind kind = kind::person;
  std::string_view pronoun = "it";
};

/// A fact of the world, and the templates withheld from training for it.
struct world_fact {
  std::size_t subject = 0;  ///< index into world::subjects
  train::relation relation = relation::born_in;
  std::string answer;                        ///< one word
  std::array<std::size_t, 2> withheld = {};  ///< templates, in increasing order
};

/// People, cities, countries and companies, and facts about them. Equal seeds give equal worlds.
///
/// Four people share each first name and two share each last name, so neither name alone identifies a person.
struct world {
  std::uint64_t seed = 0;
  std::vector<subject> subjects;
  std::vector<world_fact> facts;                     ///< the facts of a subject are contiguous
  std::vector<std::array<std::size_t, 2>> founders;  ///< indices of company and founder; stated in texts, never asked

  [[nodiscard]] std::span<const world_fact> about(std::size_t subject) const noexcept;
  /// Requires that the subject has a fact of this relation.
  [[nodiscard]] const std::string& answer(std::size_t subject, train::relation r) const noexcept;
  [[nodiscard]] std::vector<std::size_t> all(train::kind k) const;
};

[[nodiscard]] world make_world(std::uint64_t seed);

/// Sentences that state a fact. "{s}" is the subject if a pronoun is possible, "{S}" the subject otherwise, "{A}" the
/// answer. In the first `questions` templates the subject precedes the answer: truncated before the answer, they are
/// questions.
inline constexpr std::size_t questions = 8;
[[nodiscard]] std::span<const std::string_view> templates(relation r) noexcept;

/// The purpose of a text, which determines the templates that it may use.
enum class text_kind {
  training,     ///< all except the withheld templates
  calibration,  ///< the same templates as training, other random numbers
  held_out,     ///< only withheld templates
};

/// One paragraph of a text as one line without the newline. Paragraphs are independent of each other.
[[nodiscard]] std::string paragraph(const world& w, text_kind text, std::uint64_t index);
/// Whole paragraphs, one per line, with a total of at least `bytes` bytes.
[[nodiscard]] std::string text_of(const world& w, text_kind text, std::size_t bytes);

/// A question about a fact.
struct question {
  std::size_t fact = 0;
  std::string pattern;  ///< "{} was born in"
  std::string prompt;   ///< "Mirel Tovanic was born in"
};

/// Questions of every relation, all from templates withheld for their fact.
[[nodiscard]] std::vector<question> ask(const world& w);

/// Questions in the format of the causal tracing paper's facts (known_id, subject, attribute, template, prompt,
/// relation_id).
[[nodiscard]] std::string facts_json(const world& w, std::span<const question> asked);

}  // namespace train
