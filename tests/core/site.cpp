#include <precis/core/site.hpp>

#include "catch.hpp"

using namespace precis;

TEST_CASE("a site is called by its kind and layer", "[core][site][worked-example]") {
  CHECK(site{site_kind::embedding, 0}.name() == "embedding.0");
  CHECK(site{site_kind::residual, 12}.name() == "residual.12");
  CHECK(site{site_kind::attention, 3}.name() == "attention.3");
  CHECK(site{site_kind::mlp, 3}.name() == "mlp.3");
}

TEST_CASE("two sites are the same when kind and layer are", "[core][site][property]") {
  CHECK(site{site_kind::mlp, 1} == site{site_kind::mlp, 1});
  CHECK(site{site_kind::mlp, 1} != site{site_kind::mlp, 2});
  CHECK(site{site_kind::mlp, 1} != site{site_kind::attention, 1});
}
