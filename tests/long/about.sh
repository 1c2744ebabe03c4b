# Sourced by the long runs: what goes into docs/verification.md beside the outcome.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
git log -1 --format='commit %h'
[[ -z $(git status --porcelain --untracked-files=no) ]] || echo 'with local changes'
grep -m1 'model name' /proc/cpuinfo
date -u '+%F %T UTC'
build=${RHEA_BUILD:-$PWD/build/release}
