#include "devices/virtio/virtio_serial.h"

#include <algorithm>
#include <array>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::devices::virtio {

namespace {

constexpr uint64_t kMultiport = feature(1), kEmergencyWrite = feature(2);
// 5.3.4.
constexpr unsigned kMaxPortsAt = 4, kEmergencyAt = 8, kConfigBytes = 12;
constexpr unsigned kControlInput = 2, kControlOutput = 3;
constexpr uint16_t kRingSize = 128, kControlRingSize = 32;
// 5.3.6.2.
constexpr uint16_t kDeviceReady = 0, kDeviceAdd = 1, kDeviceRemove = 2, kPortReady = 3, kConsolePort = 4,
                   kPortOpen = 6, kPortName = 7;
constexpr size_t kMessage = 8;
// A driver that asks for ever and takes nothing loses what goes beyond.
constexpr size_t kMostMessages = 256;

}  // namespace

VirtioSerial::VirtioSerial(const Options& options, const RingOptions& ring)
    : VirtioDevice(
          {.id = kIdConsole, .name = "virtio-serial", .class_code = 0x078000, .config_bytes = kConfigBytes},
          ring),
      options_(options),
      ports_(options.max_ports) {
  add_queue(kRingSize);
  add_queue(kRingSize);
  if (options_.max_ports < 2) return;
  add_queue(kControlRingSize);
  add_queue(kControlRingSize);
  for (unsigned i = 1; i < options_.max_ports; ++i) {
    add_queue(kRingSize);
    add_queue(kRingSize);
  }
}

VirtioSerial::~VirtioSerial() {
  for (VirtioPort* port : ports_) {
    if (port != nullptr) unplug(*port);
  }
}

Result<> VirtioSerial::plug(VirtioPort& port, std::optional<unsigned> number) {
  if (!number) {
    const auto first = ports_.begin() + (port.options().console ? 0 : 1);
    number = static_cast<unsigned>(std::find(first, ports_.end(), nullptr) - ports_.begin());
    if (*number >= ports_.size())
      return fail(ErrorKind::NoSpace, "Maximum port limit for this device reached");
  }
  if (*number == 0 && !port.options().console)
    return fail(ErrorKind::Invalid,
                "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward "
                "compatibility.");
  if (*number >= ports_.size())
    return failf(ErrorKind::OutOfRange, "Out-of-range port id specified, max. allowed: {}",
                 ports_.size() - 1);
  if (ports_[*number] != nullptr) return failf(ErrorKind::Busy, "A port already exists at id {}", *number);
  const std::string& name = port.options().name;
  for (const VirtioPort* other : ports_) {
    if (!name.empty() && other != nullptr && other->options().name == name)
      return failf(ErrorKind::Invalid, "A port already exists by name {}", name);
  }
  ports_[*number] = &port;
  port.plugged(*this, *number);
  tell({*number, kDeviceAdd, 1});
  return {};
}

void VirtioSerial::unplug(VirtioPort& port) {
  if (port.bus_ != this) return;
  port.stop();
  if (port.options().backend != nullptr) port.options().backend->attach(nullptr);
  port.bus_ = nullptr;
  ports_[port.number()] = nullptr;
  tell({port.number(), kDeviceRemove, 1});
}

bool VirtioSerial::multiport() const {
  return negotiated(kMultiport);
}

uint64_t VirtioSerial::device_features() const {
  return (options_.max_ports > 1 ? kMultiport : 0) | (options_.emergency_write ? kEmergencyWrite : 0);
}

void VirtioSerial::fill_config(std::span<uint8_t> config) const {
  store_le<uint32_t>(config.data() + kMaxPortsAt, options_.max_ports);
}

// 5.3.4: a byte for the console that needs no queue.
void VirtioSerial::config_written(unsigned offset, std::span<const uint8_t> bytes) {
  if (!options_.emergency_write || offset != kEmergencyAt || ports_[0] == nullptr) return;
  if (ports_[0]->options().backend != nullptr)
    static_cast<void>(ports_[0]->options().backend->write(bytes.first(1)));
}

void VirtioSerial::queue_kicked(unsigned index) {
  if (index == kControlInput) {
    send_messages();
  } else if (index == kControlOutput) {
    control_output();
  } else {
    const unsigned number = index < 2 ? 0 : index / 2 - 1;
    VirtioPort* port = ports_[number];
    if (port == nullptr) return;
    if (index % 2 == 0)
      port->input_wanted();
    else
      port->output();
  }
}

// 5.3.5: without MULTIPORT there is only port 0, and it is open from the start.
void VirtioSerial::driver_ready() {
  if (!multiport() && ports_[0] != nullptr) ports_[0]->set_open(true);
}

void VirtioSerial::device_reset() {
  messages_.clear();
  for (VirtioPort* port : ports_) {
    if (port != nullptr) port->stop();
  }
}

void VirtioSerial::tell(Message message) {
  if (!driver_ok() || !multiport() || messages_.size() >= kMostMessages) return;
  messages_.push_back(std::move(message));
  send_messages();
}

void VirtioSerial::send_messages() {
  Virtqueue& ring = queue(kControlInput);
  while (!messages_.empty()) {
    const std::optional<Chain> chain = ring.pop();
    if (!chain) break;
    const Message& message = messages_.front();
    std::vector<uint8_t> bytes(kMessage + message.text.size());
    store_le<uint32_t>(bytes.data(), message.port);
    store_le<uint16_t>(bytes.data() + 4, message.event);
    store_le<uint16_t>(bytes.data() + 6, message.value);
    std::copy(message.text.begin(), message.text.end(), bytes.begin() + kMessage);
    const auto written = copy_to(ram(), chain->in, 0, bytes);
    if (!written) {
      break_down("a control buffer is not in RAM");
      return;
    }
    ring.fill(*chain, static_cast<uint32_t>(*written));
    messages_.pop_front();
  }
  ring.flush();
}

void VirtioSerial::control_output() {
  Virtqueue& ring = queue(kControlOutput);
  do {
    ring.disable_kicks();
    while (const std::optional<Chain> chain = ring.pop()) {
      uint8_t bytes[kMessage];
      const auto got = copy_from(ram(), chain->out, 0, bytes);
      if (!got) {
        break_down("a control buffer is not in RAM");
        return;
      }
      ring.push(*chain, 0);
      if (*got == kMessage)
        control({load_le<uint32_t>(bytes), load_le<uint16_t>(bytes + 4), load_le<uint16_t>(bytes + 6)});
    }
  } while (ring.enable_kicks());
}

void VirtioSerial::control(const Message& message) {
  if (message.event == kDeviceReady) {
    for (const VirtioPort* port : ports_) {
      if (port != nullptr && message.value != 0) tell({port->number(), kDeviceAdd, 1});
    }
    return;
  }
  VirtioPort* port = message.port < ports_.size() ? ports_[message.port] : nullptr;
  if (port == nullptr) {
    guest_error("virtio-serial: a message about port {}, which is not there", message.port);
    return;
  }
  if (message.event == kPortReady && message.value != 0) port_ready(*port);
  if (message.event == kPortOpen) port->set_open(message.value != 0);
}

void VirtioSerial::port_ready(const VirtioPort& port) {
  if (port.options().console) tell({port.number(), kConsolePort, 1});
  if (!port.options().name.empty()) tell({port.number(), kPortName, 1, port.options().name});
  // The host's end is open as long as there is a back end.
  if (port.options().console || port.options().backend != nullptr) tell({port.number(), kPortOpen, 1});
}

}  // namespace rhea::devices::virtio
