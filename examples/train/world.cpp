#include "world.hpp"

#include "dice.hpp"

#include <algorithm>
#include <utility>

namespace train {
namespace {

using words = std::span<const std::string_view>;

constexpr std::array<std::string_view, 32> first_names{
    "Mirel", "Talia", "Sanna",   "Ivette", "Oriane", "Lunet", "Pella",   "Verina", "Kessa",  "Jorine", "Dalva",
    "Runa",  "Zelie", "Maribel", "Norah",  "Fenna",  "Dorin", "Hallek",  "Ottar",  "Bremo",  "Cassio", "Eldan",
    "Gavin", "Iskar", "Joram",   "Kolbe",  "Luthor", "Nevin", "Quillan", "Rastin", "Torvin", "Wendel"};
constexpr std::size_t women = 16;  // the first sixteen first names

// Last names consist of two pieces, each shared by many names, so that a name is several tokens.
constexpr std::array<std::string_view, 8> name_beginnings{"Tov", "Bran", "Kel", "Mor", "Hal", "Ster", "Wend", "Quil"};
constexpr std::array<std::string_view, 8> name_endings{"anic", "ford", "mere", "ick", "osson", "ard", "ley", "ova"};
constexpr std::size_t people = 128;

constexpr std::array<std::string_view, 24> cities{
    "Velden", "Corum",  "Brask",  "Lunby", "Tarrow", "Ostra", "Kimmel", "Dovar", "Marrin", "Folke", "Harsk", "Pellow",
    "Sundel", "Rimmon", "Gavlen", "Torva", "Ebrin",  "Quern", "Zanto",  "Wexel", "Illow",  "Jorda", "Uskar", "Cawdel"};
constexpr std::array<std::string_view, 12> countries{"Arvia",  "Belmark", "Cordal",  "Drevia", "Fenwold", "Gorland",
                                                     "Hespar", "Ilvan",   "Kestria", "Lomar",  "Norvia",  "Tessia"};
constexpr std::array<std::string_view, 6> coins{"crown", "dinar", "florin", "mark", "thaler", "ducat"};
constexpr std::array<std::string_view, 16> jobs{"baker",  "sailor",  "painter", "doctor", "teacher",  "farmer",
                                                "miller", "tailor",  "lawyer",  "judge",  "gardener", "carpenter",
                                                "potter", "printer", "singer",  "writer"};
constexpr std::array<std::string_view, 12> instruments{"violin", "flute", "harp", "drum", "cello",  "trumpet",
                                                       "guitar", "piano", "lute", "horn", "fiddle", "banjo"};
constexpr std::array<std::string_view, 12> animals{"cat", "dog",    "horse", "goat", "parrot", "rabbit",
                                                   "hen", "turtle", "fox",   "pony", "donkey", "falcon"};
constexpr std::array<std::string_view, 16> goods{"salt",   "glass",   "silk",   "cheese", "paper", "honey",
                                                 "copper", "wool",    "rope",   "tea",    "bread", "soap",
                                                 "wine",   "leather", "timber", "silver"};
constexpr std::array<std::string_view, 9> company_names{"Norvel", "Halden", "Pardo", "Stellan", "Winter",
                                                        "Amber",  "Kronos", "Tidal", "Bellis"};
constexpr std::array<std::string_view, 6> company_kinds{"Works", "Mills", "Trading", "Brothers", "Harbour", "House"};
constexpr std::size_t companies = 18;

/// Shuffled copies of the values, repeated up to n: each value is used equally often.
[[nodiscard]] std::vector<std::string_view> dealt(words values, std::size_t n, dice& d) {
  std::vector<std::string_view> all;
  while (all.size() < n) {
    std::vector<std::string_view> deck(values.begin(), values.end());
    d.shuffle(std::span<std::string_view>(deck));
    all.insert(all.end(), deck.begin(), deck.end());
  }
  all.resize(n);
  return all;
}

class builder {
 public:
  explicit builder(std::uint64_t seed) : dice_(seed, "world") { w_.seed = seed; }

  [[nodiscard]] world build() {
    add_people();
    add_places();
    add_companies();
    return std::move(w_);
  }

 private:
  void state(relation r, std::string_view answer) {
    world_fact f{.subject = w_.subjects.size() - 1, .relation = r, .answer = std::string(answer)};
    const std::size_t a = dice_.below(questions), b = (a + 1 + dice_.below(questions - 1)) % questions;
    f.withheld = {std::min(a, b), std::max(a, b)};
    w_.facts.push_back(std::move(f));
  }

  void add_people() {
    std::vector<std::string> last;
    for (const std::string_view beginning : name_beginnings)
      for (const std::string_view ending : name_endings) last.push_back(std::string(beginning) + std::string(ending));
    dice_.shuffle(std::span<std::string>(last));
    // Person i has last name i / 2, and a first name that is used twice among the even and twice among the odd people.
    std::vector<std::string_view> first(first_names.begin(), first_names.end());
    dice_.shuffle(std::span<std::string_view>(first));

    const auto born = dealt(cities, people, dice_), home = dealt(cities, people, dice_),
               job = dealt(jobs, people, dice_);
    const auto instrument = dealt(instruments, people, dice_), animal = dealt(animals, people, dice_);
    for (std::size_t i = 0; i < people; ++i) {
      const std::string_view given = first[(i / 2 + (i % 2) * 7 + i / 64 * 3) % first.size()];
      const bool woman =
          std::find(first_names.begin(), first_names.begin() + women, given) != first_names.begin() + women;
      w_.subjects.push_back({std::string(given) + " " + last[i / 2], kind::person, woman ? "she" : "he"});
      state(relation::born_in, born[i]);
      state(relation::lives_in, home[i]);
      state(relation::works_as, job[i]);
      state(relation::plays, instrument[i]);
      state(relation::keeps, animal[i]);
    }
  }

  void add_places() {
    const auto city = dealt(cities, cities.size(), dice_), product = dealt(goods, cities.size(), dice_);
    for (std::size_t i = 0; i < cities.size(); ++i) {
      w_.subjects.push_back({std::string(city[i]), kind::city, "it"});
      state(relation::in_country, countries[i / 2]);
      state(relation::known_for, product[i]);
    }
    const auto coin = dealt(coins, countries.size(), dice_);
    for (std::size_t i = 0; i < countries.size(); ++i) {
      w_.subjects.push_back({std::string(countries[i]), kind::country, "it"});
      state(relation::capital, city[2 * i + dice_.below(2)]);
      state(relation::money, coin[i]);
    }
  }

  void add_companies() {
    const auto seat = dealt(cities, companies, dice_), product = dealt(goods, companies, dice_);
    std::vector<std::size_t> founder = w_.all(kind::person);
    dice_.shuffle(std::span<std::size_t>(founder));
    for (std::size_t i = 0; i < companies; ++i) {
      const std::string name = std::string(company_names[i / 2]) + " " +
                               std::string(company_kinds[(i / 2 + (i % 2) * 2) % company_kinds.size()]);
      w_.subjects.push_back({name, kind::company, "it"});
      w_.founders.push_back({w_.subjects.size() - 1, founder[i]});
      state(relation::based_in, seat[i]);
      state(relation::makes, product[i]);
    }
  }

  world w_;
  dice dice_;
};

}  // namespace

world make_world(std::uint64_t seed) { return builder(seed).build(); }

std::span<const world_fact> world::about(std::size_t subject) const noexcept {
  const auto [first, last] =
      std::equal_range(facts.begin(), facts.end(), world_fact{.subject = subject, .relation = {}, .answer = {}},
                       [](const world_fact& a, const world_fact& b) { return a.subject < b.subject; });
  return {first, last};
}

const std::string& world::answer(std::size_t subject, train::relation r) const noexcept {
  const std::span<const world_fact> known = about(subject);
  return std::find_if(known.begin(), known.end(), [r](const world_fact& f) { return f.relation == r; })->answer;
}

std::vector<std::size_t> world::all(train::kind k) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < subjects.size(); ++i)
    if (subjects[i].kind == k) found.push_back(i);
  return found;
}

}  // namespace train
