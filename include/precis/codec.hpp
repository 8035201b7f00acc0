#pragma once

/// How weights are stored: every codec, and the standard menu.

#include <precis/codec/affine.hpp>
#include <precis/codec/code_stream.hpp>
#include <precis/codec/codebook.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/codec/log2.hpp>
#include <precis/codec/low_rank.hpp>
#include <precis/codec/min_anchored.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/codec/sparse.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/codec/symmetric.hpp>
