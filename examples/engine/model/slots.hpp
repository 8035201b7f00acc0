#pragma once

#include <engine/model/config.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/unit.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The tensors of a block, as a table: what each is, its extents, and its name in the family's files.
namespace engine {

/// A dimension of a block's tensor.
enum class extent {
  width,
  query_width,   ///< heads * head width
  kv_width,      ///< kv_heads * head width
  three_widths,  ///< query and twice kv
  query_gated,   ///< query_width, and as much for the output gate
  hidden,
  expert_hidden,
  shared_hidden,
  experts,
  heads,
  query_norm,  ///< of query_norm: a head, or all heads
  key_norm,
  layer_input,  ///< layer_input_width
  mixer_in,     ///< outputs of mixer_in
  mixer_inner,  ///< inputs of mixer_out
  mixer_keys,   ///< delta net: keys of all heads
  mixer_heads,  ///< heads of the recurrence
  conv_channels,
  conv_taps,
  mixer_norm,
  one,
};
[[nodiscard]] std::size_t size_of(extent e, const config& c, const knobs& k, const layer_settings& l) noexcept;

/// Whether only models with a gate in the MLP have a tensor under a name, or only those without.
enum class gating { any, gated, plain };

/// One kind of tensor of a block, with its name in the block. Exactly one of the pointers is set.
struct slot {
  std::string_view name = {};  ///< "attn.c_attn"; of an expert's map with * for its index
  engine::norm block::* norm = nullptr;
  linear block::* map = nullptr;
  linear expert::* of_expert = nullptr;
  std::vector<float> block::* values = nullptr;
  precis::part part = precis::part::attention;
  extent out = extent::width, in = extent::width;
  bool listed = true;  ///< maps: one of matrices(), so it can be compressed
  gating only = gating::any;

  [[nodiscard]] bool is_matrix() const noexcept { return listed && (map != nullptr || of_expert != nullptr); }
};

/// Whether a layer has this tensor, and whether a map or norm of it has a bias or shift.
[[nodiscard]] bool is_present(const slot& s, const knobs& k, const layer_settings& l) noexcept;
[[nodiscard]] bool is_biased(const slot& s, const knobs& k) noexcept;

/// One tensor of one layer: a slot, and of which expert.
struct place {
  std::size_t layer = 0;
  const engine::slot* slot = nullptr;
  std::size_t expert = 0;
};

/// The places of all layers in file order, all of them or those of matrices() alone. Expert by expert, an expert's maps
/// are adjacent.
[[nodiscard]] std::vector<place> places_of(const config& c, const knobs& k);
[[nodiscard]] std::vector<place> matrix_places_of(const config& c, const knobs& k);

/// "layers.3.mlp.experts.5.up_proj": the name of a place with the family's prefix of blocks.
[[nodiscard]] std::string name_of(const config& c, const place& p);

[[nodiscard]] linear& map_at(weights& w, const place& p);
[[nodiscard]] const linear& map_at(const weights& w, const place& p);

/// matrices() of a model of this shape.
[[nodiscard]] std::vector<precis::matrix_info> matrices_of(const config& c);
/// The linear map of a matrix. Requires one of matrices_of(w.config).
[[nodiscard]] linear& map_of(weights& w, std::size_t matrix);
[[nodiscard]] const linear& map_of(const weights& w, std::size_t matrix);

}  // namespace engine
