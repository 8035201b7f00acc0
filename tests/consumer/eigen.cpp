// The same with the component precis::eigen: Eigen's memory is pruned in place.
#include <precis/adapt/eigen.hpp>
#include <precis/prune/magnitude.hpp>

#include <Eigen/Core>

int main() {
  Eigen::Matrix2f weights;
  weights << 1.f, -0.1f, 0.2f, -3.f;
  precis::prune::magnitude{.sparsity = 0.5}(precis::adapt::matrix(weights));
  return weights == (Eigen::Matrix2f() << 1.f, 0.f, 0.f, -3.f).finished() ? 0 : 1;
}
