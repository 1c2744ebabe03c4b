#include "machine/vm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "machine/script_engine.h"

namespace rhea::machine {
namespace {

class CountingBoard final : public Board {
 public:
  void reset() override { ++resets; }
  int resets = 0;
};

TEST(Vm, power_off_ends_with_status_zero) {
  Vm vm({});
  CountingBoard board;
  ScriptAccelerator accelerator([&](cpu::Core&) {
    vm.request_power_off();
    return cpu::Exit::Halted;
  });
  ASSERT_TRUE(vm.create_vcpus(1, accelerator));
  ASSERT_TRUE(vm.start(board));
  EXPECT_EQ(vm.run(), 0);
  EXPECT_EQ(board.resets, 1);
}

TEST(Vm, triple_fault_resets_and_the_guest_runs_again) {
  Vm vm({});
  CountingBoard board;
  std::atomic<int> runs{0};
  ScriptAccelerator accelerator([&](cpu::Core& core) {
    if (core.index != 0) return cpu::Exit::Halted;
    if (++runs == 3) vm.request_exit(5);
    return runs < 3 ? cpu::Exit::TripleFault : cpu::Exit::Halted;
  });
  ASSERT_TRUE(vm.create_vcpus(2, accelerator));
  ASSERT_TRUE(vm.start(board));
  EXPECT_EQ(vm.run(), 5);
  EXPECT_EQ(board.resets, 3);
}

TEST(Vm, no_reboot_turns_a_reset_into_the_end) {
  Vm vm({.reboot = false});
  CountingBoard board;
  ScriptAccelerator accelerator([&](cpu::Core&) { return cpu::Exit::TripleFault; });
  ASSERT_TRUE(vm.create_vcpus(1, accelerator));
  ASSERT_TRUE(vm.start(board));
  EXPECT_EQ(vm.run(), 0);
  EXPECT_EQ(board.resets, 1);
}

TEST(Vm, kick_wakes_a_halted_vcpu) {
  Vm vm({});
  CountingBoard board;
  std::atomic<int> woken{0};
  ScriptAccelerator accelerator([&](cpu::Core& core) {
    if (core.index == 1) {
      if (++woken == 2) vm.request_power_off();
      return cpu::Exit::Halted;
    }
    if (woken == 0) return cpu::Exit::Kicked;
    vm.kick(1);
    return cpu::Exit::Halted;
  });
  ASSERT_TRUE(vm.create_vcpus(2, accelerator));
  ASSERT_TRUE(vm.start(board));
  EXPECT_EQ(vm.run(), 0);
  EXPECT_GE(woken, 2);
}

TEST(Vm, vcpus_in_turn_never_run_together) {
  Vm vm({.one_at_a_time = true});
  CountingBoard board;
  std::atomic<int> inside{0}, together{0}, runs{0};
  ScriptAccelerator accelerator([&](cpu::Core& core) {
    if (++inside > 1) ++together;
    // Runs until it is asked to leave, as a busy guest does.
    while ((core.pending.load() & cpu::pending::kExit) == 0) {
    }
    core.pending.fetch_and(~cpu::pending::kExit);
    --inside;
    if (++runs == 9) vm.request_exit(7);
    return cpu::Exit::Kicked;
  });
  ASSERT_TRUE(vm.create_vcpus(3, accelerator));
  ASSERT_TRUE(vm.start(board));
  EXPECT_EQ(vm.run(), 7);
  EXPECT_EQ(together, 0);
}

TEST(Vm, pause_stops_vcpus_that_want_the_machine_lock) {
  Vm vm({});
  CountingBoard board;
  ScriptAccelerator accelerator([&](cpu::Core&) {
    std::scoped_lock hold(vm.lock());
    return cpu::Exit::Kicked;
  });
  ASSERT_TRUE(vm.create_vcpus(4, accelerator));
  ASSERT_TRUE(vm.start(board));
  auto timer = vm.loop().monotonic_clock().make_timer([&] {
    vm.request_pause();
    vm.request_resume();
    vm.loop().post([&] { vm.request_exit(3); });
  });
  timer->arm(vm.loop().monotonic_clock().now_ns() + 1'000'000);
  EXPECT_EQ(vm.run(), 3);
}

struct Recorder final : RunListener {
  void state_changed(RunState from, RunState to) override {
    said += fmt::format("{}->{} ", name_of(from), name_of(to));
  }
  void was_reset(Cause cause) override { said += fmt::format("reset:{} ", name_of(cause)); }
  void shutting_down(Cause cause) override { said += fmt::format("end:{} ", name_of(cause)); }
  void power_button() override { said += "button "; }
  std::string said;
};

TEST(Vm, listeners_hear_of_states_in_order) {
  Vm vm({.start_paused = true});
  Recorder recorder;
  vm.add_listener(recorder);
  CountingBoard board;
  std::atomic<unsigned> runs{0};
  ScriptAccelerator accelerator([&](cpu::Core&) {
    ++runs;
    return cpu::Exit::Kicked;
  });
  ASSERT_TRUE(vm.create_vcpus(2, accelerator));
  ASSERT_TRUE(vm.start(board));
  vm.post_unlocked([&] {
    EXPECT_EQ(runs, 0u);
    vm.request_resume();
    vm.settle();
    EXPECT_EQ(vm.state(), RunState::Running);
    while (runs == 0) {
    }
    vm.with_vcpus_still([&] {
      unsigned before = runs;
      for (unsigned i = 0; i < 1000; ++i) EXPECT_EQ(runs, before);
    });
    unsigned before = runs;
    while (runs == before) {
    }
    vm.request_power_button();
    vm.request_reset(Cause::HostReset);
    vm.request_pause(RunState::IoError);
    vm.settle();
    EXPECT_EQ(vm.state(), RunState::IoError);
    vm.request_exit(4, Cause::HostQuit);
  });
  EXPECT_EQ(vm.run(), 4);
  EXPECT_EQ(recorder.said,
            "prelaunch->running reset:host-qmp-system-reset button running->io-error end:host-qmp-quit ");
}

}  // namespace
}  // namespace rhea::machine
