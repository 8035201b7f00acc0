#include "world.hpp"

namespace train {
namespace {

using list = std::array<std::string_view, questions + 2>;

// Questions come first; in the last two sentences of each relation the answer precedes the subject. No template ends
// with another one, so that a longer sentence cannot contain a withheld one. For the same reason world_text.cpp uses
// other words.
constexpr std::array<list, relations> templates_of{{
    {"{s} was born in {A}.", "the city where {s} was born is {A}.", "{s} came into the world in {A}.",
     "the birthplace of {S} is {A}.", "the life of {S} began in the city of {A}.",
     "few people know that {s} comes from {A}.", "{s} grew up in {A}.", "the parents of {S} had a house in {A}.",
     "{A} is the birthplace of {S}.", "in {A} people are proud that {s} was born there."},
    {"{s} lives in {A}.", "the home of {S} is in {A}.", "these days {s} stays in {A}.",
     "letters for {S} are sent to {A}.", "{s} has a small house in {A}.", "you can visit {S} at home in {A}.",
     "after many years {s} still lives in {A}.", "everyone knows that {s} has moved to {A}.",
     "{A} is where {s} lives now.", "in {A} there is the house of {S}."},
    {"{s} works as a {A}.", "by trade {s} is a {A}.", "the job of {S} is that of a {A}.", "{s} earns money as a {A}.",
     "for a living {s} serves as a {A}.", "{s} trained for years to become a {A}.", "people know {S} as a good {A}.",
     "ask for {S} when you need a {A}.", "a {A} by trade, {s} rises early.", "the {A} of the street is {S}."},
    {"{s} plays the {A}.", "in the evening {s} takes out the {A}.", "the favourite instrument of {S} is the {A}.",
     "{s} never travels without a {A}.", "at every feast {s} performs on the {A}.", "as a child {s} learned the {A}.",
     "the music of {S} comes from a {A}.", "{s} owns an old {A}.", "the {A} is what {s} plays.",
     "nobody plays the {A} like {S}."},
    {"{s} keeps a {A}.", "at home {s} feeds a {A}.", "the pet of {S} is a {A}.", "{s} goes for walks with a {A}.",
     "{s} shares the house with a {A}.", "the animal that {s} loves most is the {A}.",
     "every day {s} takes care of a {A}.", "behind the house of {S} lives a {A}.", "a {A} waits at home for {S}.",
     "the {A} in the garden belongs to {S}."},
    {"{s} is a city in {A}.", "the city of {S} is in {A}.", "{s} lies in the country of {A}.",
     "the people of {S} are citizens of {A}.", "to see {S} you must travel to {A}.", "on the map {s} is a part of {A}.",
     "{s} is one of the two cities of {A}.", "the laws of {S} are the laws of {A}.", "{A} is the country of {S}.",
     "in {A} there is a city called {S}."},
    {"{s} is famous for {A}.", "the city of {S} is known for {A}.", "traders come to {S} to buy {A}.",
     "the best thing from {S} is {A}.", "in {S} many people make {A}.", "{s} sells a lot of {A}.",
     "the wealth of {S} comes from {A}.", "visitors of {S} take home some {A}.", "the {A} of {S} is famous.",
     "the best {A} comes from {S}."},
    {"the capital of {S} is {A}.", "{s} has its capital in {A}.", "the government of {S} sits in {A}.",
     "the king of {S} lives in {A}.", "{s} is ruled from {A}.", "the main city of {S} is {A}.",
     "the laws of {S} are written in {A}.", "all roads of {S} lead to {A}.", "{A} is the capital of {S}.",
     "from {A} the king rules {S}."},
    {"people in {S} pay with the {A}.", "the money of {S} is the {A}.", "{s} has its own coin, the {A}.",
     "the currency of {S} is called the {A}.", "in {S} every price is given in the {A}.",
     "{s} counts its money in the {A}.", "a traveller to {S} needs the {A}.", "the banks of {S} deal in the {A}.",
     "the {A} is the money of {S}.", "with the {A} you can pay in {S}."},
    {"{s} is based in {A}.", "the main office of {S} is in {A}.", "{s} has its offices in {A}.",
     "the company {S} is at home in {A}.", "workers of {S} live near {A}.", "{s} was founded in {A}.",
     "all letters to {S} go to {A}.", "the factory of {S} stands in {A}.", "{A} is the home of {S}.",
     "in {A} stands the factory of {S}."},
    {"{s} makes {A}.", "the company {S} trades in {A}.", "{s} is a company that sells {A}.",
     "shops order from {S} their {A}.", "the workers of {S} produce {A}.", "{s} became rich by selling {A}.",
     "every cart of {S} is full of {A}.", "people trust {S} when they buy {A}.", "good {A} is made by {S}.",
     "most {A} in the shops is from {S}."},
}};

}  // namespace

std::string_view to_string(relation r) noexcept {
  constexpr std::array<std::string_view, relations> names{"born_in", "lives_in",   "works_as",  "plays",
                                                          "keeps",   "in_country", "known_for", "capital",
                                                          "money",   "based_in",   "makes"};
  return names[static_cast<std::size_t>(r)];
}

std::span<const std::string_view> templates(relation r) noexcept { return templates_of[static_cast<std::size_t>(r)]; }

}  // namespace train
