#include "tools/img/secrets.h"

#include "base/failf.h"
#include "block/protocols/tls_library.h"
#include "block/secrets.h"
#include "config/key_values.h"

namespace rhea::img {

Result<> add_object(std::string_view text) {
  config::KeyValues options = TRY(config::split_options(text, "qom-type"));
  const auto type = config::take(options, "qom-type");
  const auto id = config::take(options, "id");
  if (!type) return fail(ErrorKind::Invalid, "Parameter 'qom-type' is missing");
  if (*type != "secret" && *type != "tls-creds-x509" && *type != "tls-creds-psk")
    return failf(ErrorKind::Unsupported, "Parameter 'qom-type' does not accept value '{}'", *type);
  if (!id) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  if (*type == "tls-creds-psk") return block::add_tls_shared_key(*id, std::move(options));
  if (*type == "tls-creds-x509") return block::add_tls_credentials(*id, std::move(options));
  return block::add_secret(*id, std::move(options));
}

}  // namespace rhea::img
