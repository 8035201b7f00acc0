#pragma once

#include <engine/model/mlp.hpp>
#include <engine/model/router.hpp>
#include <engine/model/scratch_arena.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

/// A mixture of experts on rows: the router, the chosen experts of each row, and the expert that all rows use.
namespace engine {

/// Intermediate values. The rows of all experts are sorted by expert, `rows * chosen` of them.
struct expert_values {
  routing made;
  std::vector<std::size_t> first;   ///< [experts + 1] first sorted row of each expert
  std::vector<std::size_t> row;     ///< [rows * chosen] of which row a sorted row is a copy
  std::vector<std::size_t> choice;  ///< [rows * chosen] index among the choices of that row
  float* logits = nullptr;          ///< [rows x experts]
  float* gathered = nullptr;        ///< [sorted rows x width], inputs of the experts
  mlp_values inside;                ///< [sorted rows x hidden]
  float* outputs = nullptr;         ///< [sorted rows x width]
  mlp_values shared;                ///< [rows x shared hidden]
  float* shared_scale = nullptr;    ///< [rows] before the logistic function
  float* shared_output = nullptr;   ///< [rows x width]
};

[[nodiscard]] expert_values allocate_experts(const config& c, const knobs& k, std::size_t rows, scratch_arena& memory);

/// The MLP of one expert, and of the shared one.
[[nodiscard]] inline mlp_maps maps_of(const expert& e, const knobs& k) noexcept {
  return {k.gated ? &e.gate : nullptr, &e.up, &e.down};
}
[[nodiscard]] inline mlp_maps shared_maps_of(const block& b, const knobs& k) noexcept {
  return {k.gated ? &b.shared_gate : nullptr, &b.shared_up, &b.shared_down};
}

/// Routes rows to experts, sorted by expert: sets made, first, row and choice from `logits` [rows x experts].
void sort_by_expert(const knobs& k, std::span<const float> correction, std::size_t rows, expert_values& v);

/// Computes the mixture's output for rows [rows x width]. A row's output depends on that row alone: the outputs of its
/// experts are added in the order of their indices.
void run_experts(const config& c, const knobs& k, const block& b, precis::matrix_view<const float> rows,
                 expert_values& v, precis::matrix_view<float> out, std::span<float> workspace);

/// Called for every map of an expert that has rows, with its inputs and output gradients. `expert` is the index of the
/// expert, or the number of experts for a map of the block itself.
struct expert_sink {
  std::function<void(std::size_t expert, linear expert::* map, precis::matrix_view<const float> x,
                     precis::matrix_view<const float> dy)>
      of_expert;
  std::function<void(linear block::* map, precis::matrix_view<const float> x, precis::matrix_view<const float> dy)>
      of_block;
};

/// Sets d_rows to the gradient at the rows from d_out at the output.
void run_experts_backward(const config& c, const knobs& k, const block& b, precis::matrix_view<const float> rows,
                          const expert_values& v, precis::matrix_view<const float> d_out,
                          precis::matrix_view<float> d_rows, const expert_sink& sink, scratch_arena& memory,
                          std::span<float> workspace);

}  // namespace engine
