#!/usr/bin/env bash
# Table 5 of the paper in small: stacks of the cells of hand-crafted networks, trained
# from scratch as they are, as the authors transformed them (NAT_), and as the
# policy nat-gcn-cifar10 does. Prints a table. What is done already is not done again.
#
#   table5.sh TRAIN TEST OUT [flags of natonnx train network]
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
mkdir -p "$out"

fit() { # NAME GENOTYPE SEED FLAGS...
  local name=$1-$3 genotype=$2 seed=$3
  shift 3
  [[ -e $out/$name.json ]] && return
  natonnx train network --genotype "$genotype" --seed "$seed" --data "$train" --preprocess cifar10 \
    --channels 16 --layers 9 --log "$out/$name.csv" -o "$out/$name.onnx" -q "$@"
  natonnx eval "$out/$name.onnx" --data "$test" --preprocess cifar10 --runs 0 --json >"$out/$name.tmp"
  mv "$out/$name.tmp" "$out/$name.json"
}

for seed in $seeds; do
  for pair in ResBlock:NAT_ResBlock VGG:NAT_VGG Mobilenetv2:NAT_MobileNetv2; do
    input=${pair%:*}
    [[ -e $out/$input/genotype.txt ]] || natonnx train derive --genotype "$input" --policy nat-gcn-cifar10 -o "$out/$input" -q
    fit "$input" "$input" "$seed" "$@"
    fit "$input-published" "${pair#*:}" "$seed" "$@"
    fit "$input-ours" "$out/$input/genotype.txt" "$seed" "$@"
  done
done

echo '| cells | seeds | accuracy, % | parameters | multiply-adds |'
echo '|---|---|---|---|---|'
for name in {ResBlock,VGG,Mobilenetv2}{,-published,-ours}; do
  accuracies=$(for seed in $seeds; do jq '100*.accuracy.top1.share' "$out/$name-$seed.json"; done)
  cost=$(natonnx inspect "$out/$name-${seeds%% *}.onnx" --json | jq -r '"\(.cost.params) | \(.cost.multiply_adds)"')
  echo "| $name | $(wc -w <<<"$seeds") | $(xargs printf '%.2f ' <<<"$accuracies")| $cost |"
done
