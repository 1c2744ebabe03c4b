// How soon a thread gets a processor of a busy host when it has something to do.
#pragma once

namespace rhea::async {

// The calling thread sleeps mostly and has little to do when it wakes: no timer slack and, from Linux 6.12
// on, short time slices, which let a thread that wakes go before those that compute. Older kernels ignore it.
void ask_for_prompt_wakeups();

}  // namespace rhea::async
