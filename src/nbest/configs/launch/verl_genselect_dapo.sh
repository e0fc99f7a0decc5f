#!/usr/bin/env bash
# Trains a generative selector with DAPO in verl on tasks of `nbest tasks build --format verl`, on one node of 8 GPUs.
#
#   nbest tasks build RUN... --out tasks/genselect.parquet --format verl --validation-share 0.05
#   TASKS=tasks/genselect MODEL=Qwen/Qwen3-1.7B KIND=math bash $(nbest configs verl_genselect_dapo) [key=value ...]
#
# Published (arXiv 2602.02143): 128 prompts per step, 16 rollouts (math) or 8 (code), AdamW at 1e-6, temperature 1.5,
# top-p 1.0, prompts and outputs of at most 16,384 tokens. DAPO (arXiv 2503.14476): clip 0.2 / 0.28, token-level loss,
# groups of equal reward sampled again, a length penalty of at most 1 over the last fifth of the limit, no KL.
# Ours, because no source states them: one update per step, at most 10 sampling rounds per step, weight decay 0.1 and 10
# warm-up steps (both those of verl's DAPO recipe), parallelism and memory. The recipes genselect_qwen3_1p7b_math and
# genselect_qwen3_1p7b_code have the same settings; docs/genselect.md lists what differs between verl and TRL.
#
# Keys were read in verl-project/verl, verl/trainer/config/{ppo_trainer,actor/actor,reward/reward,legacy_reward_impl}.yaml
# and verl/experimental/reward_loop/reward_manager/dapo.py, and in verl-project/verl-recipe, dapo/. `++` sets a key whether
# or not the installed version lists it. Where `verl.trainer.main_ppo` has no algorithm.filter_groups, use the recipe:
# VERL_ENTRY=recipe.dapo.main_dapo. verl before the key `reward` existed wants custom_reward_function.path,
# reward_model.reward_manager and reward_model.overlong_buffer instead. The V1 trainer bounds sampling by
# max_inflight_gen_batches and does not read max_num_gen_batches. No run of this file has been made by us.
set -euo pipefail

TASKS=${TASKS:?the name given to --out, without .parquet}
MODEL=${MODEL:-Qwen/Qwen3-1.7B}
KIND=${KIND:-math}
OUT=${OUT:-checkpoints/verl_genselect_${KIND}}
VERL_ENTRY=${VERL_ENTRY:-verl.trainer.main_ppo}
REWARD=${REWARD:-$(dirname "${TASKS}")/reward_genselect.py}
NODES=${NODES:-1}
GPUS=${GPUS:-8}

case "${KIND}" in
  math) rollouts=16 ;;
  code) rollouts=8 ;;
  *) echo "KIND: got ${KIND}; allowed: math, code" >&2; exit 2 ;;
esac
prompts=128
prompt_tokens=16384
output_tokens=16384
tokens=$((prompt_tokens + output_tokens))

python3 -m "${VERL_ENTRY}" \
  data.train_files="${TASKS}.train.parquet" \
  data.val_files="${TASKS}.validation.parquet" \
  data.prompt_key=prompt \
  data.truncation=error \
  data.filter_overlong_prompts=True \
  data.max_prompt_length=${prompt_tokens} \
  data.max_response_length=${output_tokens} \
  data.train_batch_size=${prompts} \
  ++data.gen_batch_size=${prompts} \
  algorithm.adv_estimator=grpo \
  algorithm.use_kl_in_reward=False \
  algorithm.kl_ctrl.kl_coef=0.0 \
  ++algorithm.filter_groups.enable=True \
  ++algorithm.filter_groups.metric=acc \
  ++algorithm.filter_groups.max_num_gen_batches=10 \
  actor_rollout_ref.model.path="${MODEL}" \
  actor_rollout_ref.model.use_remove_padding=True \
  actor_rollout_ref.model.enable_gradient_checkpointing=True \
  actor_rollout_ref.actor.use_kl_loss=False \
  actor_rollout_ref.actor.kl_loss_coef=0.0 \
  actor_rollout_ref.actor.entropy_coeff=0 \
  actor_rollout_ref.actor.clip_ratio_low=0.2 \
  actor_rollout_ref.actor.clip_ratio_high=0.28 \
  actor_rollout_ref.actor.clip_ratio_c=10.0 \
  actor_rollout_ref.actor.loss_agg_mode=token-mean \
  actor_rollout_ref.actor.ppo_mini_batch_size=${prompts} \
  actor_rollout_ref.actor.use_dynamic_bsz=True \
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=${tokens} \
  actor_rollout_ref.actor.optim.lr=1e-6 \
  actor_rollout_ref.actor.optim.lr_warmup_steps=10 \
  actor_rollout_ref.actor.optim.weight_decay=0.1 \
  actor_rollout_ref.actor.grad_clip=1.0 \
  actor_rollout_ref.rollout.name=vllm \
  actor_rollout_ref.rollout.n=${rollouts} \
  actor_rollout_ref.rollout.temperature=1.5 \
  actor_rollout_ref.rollout.top_p=1.0 \
  actor_rollout_ref.rollout.top_k=-1 \
  actor_rollout_ref.rollout.gpu_memory_utilization=0.8 \
  actor_rollout_ref.rollout.max_num_batched_tokens=${tokens} \
  actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True \
  actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=${tokens} \
  actor_rollout_ref.rollout.val_kwargs.do_sample=True \
  actor_rollout_ref.rollout.val_kwargs.temperature=0.6 \
  actor_rollout_ref.rollout.val_kwargs.top_p=1.0 \
  actor_rollout_ref.rollout.val_kwargs.n=1 \
  reward.reward_manager.name=dapo \
  reward.custom_reward_function.path="${REWARD}" \
  reward.custom_reward_function.name=compute_score \
  ++reward.reward_kwargs.overlong_buffer_cfg.enable=True \
  ++reward.reward_kwargs.overlong_buffer_cfg.len=3277 \
  ++reward.reward_kwargs.overlong_buffer_cfg.penalty_factor=1.0 \
  ++reward.reward_kwargs.overlong_buffer_cfg.log=True \
  ++reward.reward_kwargs.max_resp_len=${output_tokens} \
  trainer.logger='["console"]' \
  trainer.project_name=nbest \
  trainer.experiment_name="genselect-${KIND}" \
  trainer.nnodes="${NODES}" \
  trainer.n_gpus_per_node="${GPUS}" \
  trainer.val_before_train=True \
  trainer.test_freq=25 \
  trainer.save_freq=20 \
  trainer.total_epochs=1 \
  trainer.default_local_dir="${OUT}" \
  trainer.resume_mode=auto \
  "$@"
