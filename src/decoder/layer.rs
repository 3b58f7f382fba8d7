//! One layer: self-attention, attention to the window, a feed-forward network.

use super::load::{Norm, Source};
use super::{DecoderError, Scratch, State, Turn};
use crate::backend::cpu::{Cpu, Linear, PreparedDense, Then};
use crate::weights::DecoderDimensions;

/// The weights of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    self_norm: Norm,
    qkv: Linear,
    self_out: Linear,
    window_norm: Norm,
    query: Linear,
    /// Of the window: made once for all tokens.
    key: PreparedDense,
    value: PreparedDense,
    window_out: Linear,
    ffn_norm: Norm,
    up: Linear,
    down: Linear,
}

impl Layer {
    pub(super) fn load(
        source: &Source<'_>,
        dimensions: &DecoderDimensions,
        index: usize,
    ) -> Result<Self, DecoderError> {
        let DecoderDimensions { d_model: d, ffn, .. } = *dimensions;
        let name = |part: &str| format!("model.decoder.layers.{index}.{part}");
        let square = |part: &str| source.projection(&[name(part)], [d, d]);
        let qkv = ["q", "k", "v"].map(|which| name(&format!("self_attn.{which}_proj")));
        Ok(Self {
            self_norm: source.norm(&name("self_attn_layer_norm"), d)?,
            qkv: source.projection(&qkv, [d, d])?,
            self_out: square("self_attn.out_proj")?,
            window_norm: source.norm(&name("encoder_attn_layer_norm"), d)?,
            query: square("encoder_attn.q_proj")?,
            key: source.dense(&name("encoder_attn.k_proj"), [d, d])?,
            value: source.dense(&name("encoder_attn.v_proj"), [d, d])?,
            window_out: square("encoder_attn.out_proj")?,
            ffn_norm: source.norm(&name("final_layer_norm"), d)?,
            up: source.projection(&[name("fc1")], [ffn, d])?,
            down: source.projection(&[name("fc2")], [d, ffn])?,
        })
    }

    /// Keys and values of a window's features, positions × width.
    pub(super) fn listen(
        &self,
        cpu: &Cpu,
        index: usize,
        features: &[f32],
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), DecoderError> {
        let Scratch { window: [keys, values], dense, .. } = scratch;
        cpu.dense(&self.key, features, keys, dense)?;
        cpu.dense(&self.value, features, values, dense)?;
        Ok(cpu.remember(keys, values, &mut state.window[index])?)
    }

    /// Runs the layer on the hidden values of some tokens, in place: those of the first turn, then
    /// those of the next.
    pub(super) fn run(
        &self,
        cpu: &Cpu,
        index: usize,
        turns: &mut [Turn<'_>],
        scratch: &mut Scratch,
    ) -> Result<(), DecoderError> {
        let Scratch { hidden, normed, qkv, query, attended, between, linear, recall, .. } = scratch;
        self.self_norm.run(cpu, hidden, normed)?;
        cpu.linear(&self.qkv, normed, Then::Store, qkv, linear)?;
        let width = self.qkv.inputs();
        let mut rest = &qkv[..];
        for turn in &mut *turns {
            let (mine, others) = rest.split_at(turn.rows().count() * 3 * width);
            turn.state.keep(index, turn.rows(), mine);
            rest = others;
        }
        for (query, row) in query.chunks_exact_mut(width).zip(qkv.chunks_exact(3 * width)) {
            query.copy_from_slice(&row[..width]);
        }
        let seen = turns.iter().flat_map(|turn| turn.state.seen(index, turn.rows()));
        cpu.attend(&seen.collect::<Vec<_>>(), query, attended)?;
        cpu.linear(&self.self_out, attended, Then::Add, hidden, linear)?;

        self.window_norm.run(cpu, hidden, normed)?;
        cpu.linear(&self.query, normed, Then::Store, query, linear)?;
        let mut recalls: Vec<_> = turns.iter_mut().map(|turn| turn.recall(index)).collect();
        cpu.recall(&mut recalls, query, attended, recall)?;
        cpu.linear(&self.window_out, attended, Then::Add, hidden, linear)?;

        self.ffn_norm.run(cpu, hidden, normed)?;
        cpu.linear(&self.up, normed, Then::Gelu, between, linear)?;
        Ok(cpu.linear(&self.down, between, Then::Add, hidden, linear)?)
    }
}
