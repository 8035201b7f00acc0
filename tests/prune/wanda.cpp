#include <precis/prune/wanda.hpp>

#include <precis/prune/magnitude.hpp>

#include "fit/fixture_q.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;

TEST_CASE("wanda on fixture Q, by hand", "[prune][wanda][worked-example]") {
  // Norms of the inputs 2.645751, 5.291503, 3.872983, 3.741657; row 0 has keys 2.645751, 2.645751, 1.549193, 2.619160.
  float_matrix w = fixture_q::weights;
  const auto g = fixture_q::gram();
  const std::vector<double> squares{g(0, 0), g(1, 1), g(2, 2), g(3, 3)};
  CHECK(prune::wanda{.sparsity = 0.5}(w.view(), squares) == 4);
  CHECK(w.values == std::vector<float>{1, -0.5f, 0, 0, 0, -1.2f, 0, -0.9f});
  CHECK(measure::squared_output_error(fixture_q::weights.view(), w.view(), g) == Approx(17.9));
}

TEST_CASE("wanda @post: equal squares remove what magnitude removes from every row", "[prune][wanda][property]") {
  float_matrix a = fixture_q::weights, b = a, c = a;
  prune::wanda{.sparsity = 0.5}(a.view(), std::vector<double>(4, 3.0));
  prune::magnitude{.sparsity = 0.5}.each_row(b.view());
  CHECK(a == b);
  const std::vector<double> squares{7, 28, 15, 14}, scaled{700, 2800, 1500, 1400};
  prune::wanda{.sparsity = 0.25}(a.view(), squares);
  a = c;
  prune::wanda{.sparsity = 0.25}(a.view(), squares);
  prune::wanda{.sparsity = 0.25}(c.view(), scaled);
  CHECK(a == c);
}

TEST_CASE("wanda removes weights of inputs that are always zero first", "[prune][wanda]") {
  float_matrix w(1, 4, {100, 1, 2, 3});
  prune::wanda{.sparsity = 0.25}(w.view(), std::vector<double>{0, 1, 1, 1});
  CHECK(w.values == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("wanda refuses statistics of another matrix", "[prune][wanda][bad-input]") {
  float_matrix w = fixture_q::weights;
  CHECK(refusal([&] { prune::wanda{}(w.view(), std::vector<double>{1, 2}); }).find("one per column") !=
        std::string::npos);
  CHECK(refusal([&] { prune::wanda{}(w.view(), std::vector<double>{1, 2, -1, 1}); }).find("squared input 2") !=
        std::string::npos);
  CHECK(w == fixture_q::weights);
}
