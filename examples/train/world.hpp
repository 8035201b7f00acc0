#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Makes the model that ships with the project: an invented world, a tokenizer, and a GPT-2 trained on it.
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

/// Somebody or something the world has facts about.
struct subject {
  std::string name;
  train::kind kind = kind::person;
  std::string_view pronoun = "it";
};

/// One thing that is true in the world, and the sentences about it that no training text contains.
struct world_fact {
  std::size_t subject = 0;  ///< index into world::subjects
  train::relation relation = relation::born_in;
  std::string answer;                        ///< one word
  std::array<std::size_t, 2> withheld = {};  ///< templates, in increasing order
};

/// People, cities, countries and companies, and what is true about them. Equal for equal seeds.
///
/// A first name is shared by four people and a last name by two, so neither of them alone says who is meant.
struct world {
  std::uint64_t seed = 0;
  std::vector<subject> subjects;
  std::vector<world_fact> facts;                     ///< a subject's facts are neighbours
  std::vector<std::array<std::size_t, 2>> founders;  ///< company and founder, as subjects: told, never asked

  [[nodiscard]] std::span<const world_fact> about(std::size_t subject) const noexcept;
  /// Requires that the subject has such a fact.
  [[nodiscard]] const std::string& answer(std::size_t subject, train::relation r) const noexcept;
  [[nodiscard]] std::vector<std::size_t> all(train::kind k) const;
};

[[nodiscard]] world make_world(std::uint64_t seed);

/// Ways to state a fact. "{s}" is the subject where a pronoun could stand, "{S}" the subject elsewhere, "{A}" the
/// answer. The first `questions` of them have the subject before the answer: cut at the answer they are questions.
inline constexpr std::size_t questions = 8;
[[nodiscard]] std::span<const std::string_view> templates(relation r) noexcept;

/// Which templates a text may use.
enum class text_kind {
  training,     ///< all but the withheld ones
  calibration,  ///< like training, other draws
  held_out,     ///< withheld ones alone
};

/// One paragraph of a text, in one line without its end. Paragraphs are independent of each other.
[[nodiscard]] std::string paragraph(const world& w, text_kind text, std::uint64_t index);
/// Whole paragraphs, one a line, of at least `bytes` bytes.
[[nodiscard]] std::string text_of(const world& w, text_kind text, std::size_t bytes);

/// A question about a fact.
struct question {
  std::size_t fact = 0;
  std::string pattern;  ///< "{} was born in"
  std::string prompt;   ///< "Mirel Tovanic was born in"
};

/// Questions of every relation, all in words that are withheld for their fact.
[[nodiscard]] std::vector<question> ask(const world& w);

/// Questions in the format of the causal tracing paper's facts (known_id, subject, attribute, template, prompt,
/// relation_id).
[[nodiscard]] std::string facts_json(const world& w, std::span<const question> asked);

}  // namespace train
