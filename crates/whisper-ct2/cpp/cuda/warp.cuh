// The threads of a warp.

#pragma once

namespace halkspeech {

constexpr int lanes = 32;
constexpr unsigned all_lanes = 0xffffffff;

}  // namespace halkspeech
