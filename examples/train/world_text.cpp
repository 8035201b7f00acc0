#include "dice.hpp"
#include "world.hpp"

#include <engine/files/json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>

namespace train {
namespace {

void replace(std::string& text, std::string_view what, std::string_view by) {
  if (const std::size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), by);
}

[[nodiscard]] std::string capitalised(std::string text) {
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

[[nodiscard]] bool withheld(const world_fact& f, std::size_t i) noexcept {
  return i == f.withheld[0] || i == f.withheld[1];
}

/// Writes the sentences of one paragraph.
class writer {
 public:
  writer(const world& w, text_kind text, std::uint64_t index)
      : w_(w),
        held_out_(text == text_kind::held_out),
        dice_(w.seed,
              text == text_kind::training ? "training"
              : held_out_                 ? "held out"
                                          : "calibration",
              index) {}

  [[nodiscard]] std::string paragraph() {
    const std::size_t kind = dice_.below(100);
    if (kind < 40) return story();
    if (kind < 75) return list();
    if (kind < 90) return connections();
    return place();
  }

 private:
  enum class naming { full, pronoun };
  static constexpr std::array<std::string_view, 4> ties{"a friend of", "a neighbour of", "an old rival of",
                                                        "a cousin of"};

  [[nodiscard]] const std::string& name(std::size_t subject) const noexcept { return w_.subjects[subject].name; }
  /// Draws a person in half of the cases, because there are more people than other subjects.
  [[nodiscard]] std::size_t any_subject() {
    if (dice_.chance(50)) return any_person();
    std::size_t i = dice_.below(w_.subjects.size());
    while (w_.subjects[i].kind == kind::person) i = dice_.below(w_.subjects.size());
    return i;
  }
  [[nodiscard]] std::size_t any_person() { return someone_of(kind::person); }
  [[nodiscard]] std::size_t someone_of(kind k) {
    const std::vector<std::size_t> all = w_.all(k);
    return dice_.pick(std::span<const std::size_t>(all));
  }
  [[nodiscard]] std::size_t called(const std::string& wanted) const {
    return static_cast<std::size_t>(
        std::find_if(w_.subjects.begin(), w_.subjects.end(), [&](const subject& s) { return s.name == wanted; }) -
        w_.subjects.begin());
  }

  [[nodiscard]] const std::string& other(std::size_t than) {
    std::size_t who = any_person();
    while (who == than) who = any_person();
    return name(who);
  }

  /// One fact in one sentence, with a template that this text may use. Sometimes another person is named before or
  /// after the subject, so that the nearest name is not always the relevant one.
  [[nodiscard]] std::string sentence(const world_fact& f, naming how) {
    const std::span<const std::string_view> ways = templates(f.relation);
    std::size_t way = f.withheld[dice_.below(2)];
    while (!held_out_ && withheld(f, way)) way = dice_.below(ways.size());
    std::string text(ways[way]);
    const subject& s = w_.subjects[f.subject];
    const std::size_t aside = how == naming::full && s.kind == kind::person ? dice_.below(100) : 99;
    std::string full = s.name;
    if (aside < 20) {  // one draw per statement, because the evaluation order of the operands of + is unspecified
      const std::string& companion = other(f.subject);
      const std::string tie(dice_.pick(std::span<const std::string_view>(ties)));
      full += ", " + tie + " " + companion + ",";
    }
    replace(text, "{s}", how == naming::pronoun ? std::string(s.pronoun) : full);
    replace(text, "{S}", full);
    replace(text, "{A}", f.answer);
    if (aside >= 20 && aside < 35) return other(f.subject) + " says that " + text;
    return capitalised(std::move(text));
  }

  [[nodiscard]] static std::string joined(const std::vector<std::string>& sentences) {
    std::string text;
    for (const std::string& s : sentences) text += (text.empty() ? "" : " ") + s;
    return text;
  }

  /// Several sentences about one subject, named at first and sometimes replaced by a pronoun later.
  [[nodiscard]] std::string story() {
    const std::size_t subject = dice_.chance(40) ? any_person() : any_subject();
    const std::span<const world_fact> known = w_.about(subject);
    std::vector<world_fact> order(known.begin(), known.end());
    dice_.shuffle(std::span<world_fact>(order));
    order.resize(std::min(order.size(), 2 + dice_.below(3)));
    std::vector<std::string> sentences;
    for (const world_fact& f : order)
      sentences.push_back(sentence(f, sentences.empty() || dice_.chance(50) ? naming::full : naming::pronoun));
    if (dice_.chance(25)) sentences.push_back(capitalised("this is all that people say about " + name(subject) + "."));
    return joined(sentences);
  }

  /// Facts of different subjects.
  [[nodiscard]] std::string list() {
    std::vector<std::string> sentences;
    for (std::size_t n = 2 + dice_.below(3); n > 0; --n)
      sentences.push_back(sentence(dice_.pick(w_.about(any_subject())), naming::full));
    return joined(sentences);
  }

  /// Sentences that combine two facts: comparisons and indirect statements.
  [[nodiscard]] std::string connections() {
    std::vector<std::string> sentences;
    for (std::size_t n = 1 + dice_.below(2); n > 0; --n) sentences.push_back(capitalised(connection()));
    return joined(sentences);
  }

  [[nodiscard]] std::string connection() {
    const std::size_t a = any_person();
    std::size_t b = any_person();
    while (b == a) b = any_person();
    const auto told = [&](std::size_t who, relation r) -> const std::string& { return w_.answer(who, r); };
    const std::string& home = told(a, relation::lives_in);
    const std::string& birth = told(a, relation::born_in);
    switch (dice_.below(9)) {
      case 0:
        return name(a) + " prefers the " + told(a, relation::plays) + ", while " + name(b) + " likes the " +
               told(b, relation::plays) + " better.";
      case 1:
        return "the cradle of " + name(a) + " stood in " + birth + ", that of " + name(b) + " in " +
               told(b, relation::born_in) + ".";
      case 2:
        return name(a) + " is a native of " + birth + ", a city in " + w_.answer(called(birth), relation::in_country) +
               ".";
      case 3:
        return name(a) + " settled in " + home + ", which is famous for " +
               w_.answer(called(home), relation::known_for) + ".";
      case 4:
        return name(a) + " of " + home + " is a " + told(a, relation::works_as) + " who likes the " +
               told(a, relation::plays) + ".";
      case 5:
        return "with a " + told(a, relation::keeps) + " at home, " + name(a) + " often thinks of " + name(b) +
               ", who has a " + told(b, relation::keeps) + ".";
      case 6:
        return (birth == home ? name(a) + " has lived in " + home + " since birth."
                              : name(a) + " left " + birth + " and moved to " + home + ".");
      case 7:
        return "the country where " + name(a) + " lives is " + w_.answer(called(home), relation::in_country) + ".";
      default: break;
    }
    const auto& [company, founder] = w_.founders[dice_.below(w_.founders.size())];
    return "the company " + name(company) + ", which makes " + w_.answer(company, relation::makes) +
           ", was founded by " + name(founder) + ".";
  }

  /// A short description of a city, most of it without content.
  [[nodiscard]] std::string place() {
    const std::size_t city = someone_of(kind::city);
    const std::string& c = name(city);
    static constexpr std::array<std::string_view, 6> weather{"it rained",        "the sun was out",  "snow fell",
                                                             "a cold wind came", "the sky was grey", "there was fog"};
    static constexpr std::array<std::string_view, 4> times{"in the morning", "at noon", "in the evening", "at night"};
    const std::string when(dice_.pick(std::span<const std::string_view>(times)));
    const std::string how(dice_.pick(std::span<const std::string_view>(weather)));
    std::vector<std::string> sentences{capitalised(how + " in " + c + " " + when + ".")};
    const std::size_t other = someone_of(kind::city), who = any_person();
    switch (dice_.below(4)) {
      case 0: sentences.push_back("The road from " + c + " to " + name(other) + " is long."); break;
      case 1: {
        const std::string& country = w_.answer(city, relation::in_country);
        sentences.push_back("On the market they pay with the " + w_.answer(called(country), relation::money) + " of " +
                            country + ".");
        break;
      }
      case 2: sentences.push_back(name(who) + " told a friend about it."); break;
      default: sentences.push_back("Later " + name(who) + " came by and talked about the weather."); break;
    }
    if (dice_.chance(50)) sentences.push_back(sentence(w_.about(city)[dice_.below(2)], naming::full));
    return joined(sentences);
  }

  const world& w_;
  bool held_out_;
  dice dice_;
};

}  // namespace

std::string paragraph(const world& w, text_kind text, std::uint64_t index) {
  return writer(w, text, index).paragraph();
}

std::string text_of(const world& w, text_kind text, std::size_t bytes) {
  std::string all;
  for (std::uint64_t i = 0; all.size() < bytes; ++i) all += paragraph(w, text, i) + "\n";
  return all;
}

std::vector<question> ask(const world& w) {
  // Number of questions per relation, in enumeration order; most are about people.
  constexpr std::array<std::size_t, relations> wanted{24, 24, 20, 20, 20, 10, 10, 8, 8, 8, 8};
  std::vector<question> asked;
  for (std::size_t r = 0; r < relations; ++r) {
    std::vector<std::size_t> of_relation;
    for (std::size_t f = 0; f < w.facts.size(); ++f)
      if (w.facts[f].relation == static_cast<relation>(r)) of_relation.push_back(f);
    dice d(w.seed, "questions", r);
    d.shuffle(std::span<std::size_t>(of_relation));
    of_relation.resize(std::min(of_relation.size(), wanted[r]));
    for (const std::size_t f : of_relation) {
      const world_fact& fact = w.facts[f];
      std::string pattern(templates(fact.relation)[fact.withheld[d.below(2)]]);
      pattern.resize(pattern.find(" {A}"));
      for (const std::string_view mark : {"{s}", "{S}"}) replace(pattern, mark, "{}");
      pattern = capitalised(std::move(pattern));
      std::string prompt = pattern;
      replace(prompt, "{}", w.subjects[fact.subject].name);
      asked.push_back({f, std::move(pattern), std::move(prompt)});
    }
  }
  return asked;
}

std::string facts_json(const world& w, std::span<const question> asked) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const world_fact& f = w.facts[asked[i].fact];
    all.push_back({{"known_id", i},
                   {"subject", w.subjects[f.subject].name},
                   {"attribute", f.answer},
                   {"template", asked[i].pattern},
                   {"prompt", asked[i].prompt},
                   {"relation_id", to_string(f.relation)}});
  }
  return all.dump(1) + "\n";
}

}  // namespace train
