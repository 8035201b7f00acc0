#include <precis/core/site.hpp>

#include "catch.hpp"

using namespace precis;

TEST_CASE("the name of a site is its kind and layer", "[core][site][worked-example]") {
  CHECK(site{site_kind::embedding, 0}.name() == "embedding.0");
  CHECK(site{site_kind::residual, 12}.name() == "residual.12");
  CHECK(site{site_kind::attention, 3}.name() == "attention.3");
  CHECK(site{site_kind::mlp, 3}.name() == "mlp.3");
}

TEST_CASE("sites are equal if kind and layer are equal", "[core][site][property]") {
  CHECK(site{site_kind::mlp, 1} == site{site_kind::mlp, 1});
  CHECK(site{site_kind::mlp, 1} != site{site_kind::mlp, 2});
  CHECK(site{site_kind::mlp, 1} != site{site_kind::attention, 1});
}
