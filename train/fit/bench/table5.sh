#!/usr/bin/env bash
# Table 5 of the paper in small: stacks of the cells of hand-crafted networks, trained
# from scratch as they are, as the authors transformed them (NAT_), and as the built-in
# policy nat-gcn does; and real networks, as they are and as it redesigns them. Prints
# a table. What is done already is not done again.
#
#   [SEEDS="1 2"] [MODELS="A.onnx ..."] table5.sh TRAIN TEST OUT [flags of natonnx train network]
#
# TRAIN and TEST are images as natonnx eval takes them, OUT is a folder. Needs natonnx
# on the path, and jq.
set -euo pipefail
if [[ $# -lt 3 ]]; then
  sed -n '2,/^set/{/^# /s///p}' "$0" >&2
  exit 2
fi
train=$1 test=$2 out=$3
shift 3
seeds=${SEEDS:-1 2}
policy=nat-gcn
mkdir -p "$out"

fit() { # NAME SEED FLAGS...
  local name=$1-$2 seed=$2
  shift 2
  [[ -e $out/$name.json ]] && return
  natonnx train network --seed "$seed" --data "$train" --preprocess cifar10 --log "$out/$name.csv" -o "$out/$name.onnx" -q "$@"
  natonnx eval "$out/$name.onnx" --data "$test" --preprocess cifar10 --runs 0 --json >"$out/$name.tmp"
  mv "$out/$name.tmp" "$out/$name.json"
}

stack() { # NAME SEED GENOTYPE FLAGS...
  fit "$1" "$2" --genotype "$3" --channels 16 --layers 9 "${@:4}"
}

names=()
for seed in $seeds; do
  for pair in ResBlock:NAT_ResBlock VGG:NAT_VGG Mobilenetv2:NAT_MobileNetv2; do
    input=${pair%:*}
    names+=("$input" "$input-published" "$input-ours")
    [[ -e $out/$input/genotype.txt ]] || natonnx train derive --genotype "$input" --policy $policy -o "$out/$input" -q
    stack "$input" "$seed" "$input" "$@"
    stack "$input-published" "$seed" "${pair#*:}" "$@"
    stack "$input-ours" "$seed" "$out/$input/genotype.txt" "$@"
  done
  for model in ${MODELS:-}; do
    name=$(basename "$model" .onnx)
    names+=("$name" "$name-ours")
    [[ -e $out/$name-redesign.onnx ]] || natonnx optimize "$model" --mode redesign --policy $policy -o "$out/$name-redesign.onnx" -q
    fit "$name" "$seed" --model "$model" "$@"
    fit "$name-ours" "$seed" --model "$out/$name-redesign.onnx" "$@"
  done
done

echo '| network | accuracy, % | parameters | multiply-adds |'
echo '|---|---|---|---|'
printf '%s\n' "${names[@]}" | awk '!seen[$0]++' | while read -r name; do
  accuracies=$(for seed in $seeds; do jq '100*.accuracy.top1.share' "$out/$name-$seed.json"; done)
  cost=$(natonnx inspect "$out/$name-${seeds%% *}.onnx" --json | jq -r '"\(.cost.params) | \(.cost.multiply_adds)"')
  echo "| $name | $(xargs printf '%.2f ' <<<"$accuracies")| $cost |"
done
