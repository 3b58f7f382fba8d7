//! LayerNorm, attention with its projections before and after, and the residual connection.
//!
//! In tiles the queries, keys and values are packed as they come out of their matmul, and the last
//! matmul takes its rows while they are in the second-level cache: none of them goes through memory as
//! floats, which takes longer than to compute them.

#[cfg(target_arch = "x86_64")]
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::super::attention::tiles::Attend;
use super::super::{Attention, CpuError};
use super::*;

/// x += out(attention(qkv(norm(x)))), whose operands have been checked.
pub(in super::super) struct SelfAttention<'a> {
    pub(in super::super) level: Level,
    pub(in super::super) qkv: &'a PackedWeights,
    pub(in super::super) out: &'a PackedWeights,
    pub(in super::super) norm: Norm<'a>,
    pub(in super::super) shape: &'a Attention,
    pub(in super::super) narrow: bool,
}

impl SelfAttention<'_> {
    /// Runs it on the current pool, window by window.
    pub(in super::super) fn run(
        &self,
        x: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        let Attention { rows, d_model, .. } = *self.shape;
        for x in x.chunks_exact_mut(rows * d_model) {
            #[cfg(target_arch = "x86_64")]
            if let Some(tiles) = self.tiles() {
                self.in_tiles(&tiles, x, workspace);
                continue;
            }
            self.one_by_one(x, workspace)?;
        }
        Ok(())
    }

    /// What attends in tiles, if both matmuls are multiplied in them as well and need no more of their
    /// operands than a row at a time.
    #[cfg(target_arch = "x86_64")]
    fn tiles(&self) -> Option<InTiles> {
        let Self { level, qkv, out, shape, .. } = *self;
        let fits = |weights: &PackedWeights| {
            let numeric = weights.spec().numeric;
            matches!(level.engine(numeric), Engine::ByteTiles(_) | Engine::PairTiles(_))
                && numeric != Numeric::I8 { activations: Scaling::PerTensor }
        };
        let all = shape.valid == shape.rows && fits(qkv) && fits(out);
        if all { InTiles::new(level, shape) } else { None }
    }

    #[cfg(target_arch = "x86_64")]
    fn in_tiles(&self, tiles: &InTiles, x: &mut [f32], workspace: &mut Workspace) {
        let mut packed = std::mem::take(&mut workspace.packed);
        let bytes = packed.get::<u8>(tiles.bytes(self.shape.rows));
        self.project(tiles, x, bytes, workspace);
        self.attend(tiles, bytes, x, workspace);
        workspace.packed = packed;
    }

    /// Queries, keys and values.
    #[cfg(target_arch = "x86_64")]
    fn project(&self, tiles: &InTiles, x: &[f32], packed: &mut [u8], workspace: &mut Workspace) {
        let Self { level, qkv: weights, norm, narrow, .. } = *self;
        let spec = weights.spec();
        let rows = self.shape.rows;
        let plan = Plan::new(level, weights, narrow, rows).for_heads();
        let task = plan.task;
        let a = Rows { elements: x, stride: spec.k };
        let raw = Raw { rows: a, norm: Some(norm), scaling: Scales::OfRows };
        packed.par_chunks_mut(tiles.bytes(task)).zip(plan.scratch(workspace)).enumerate().for_each(
            |(i, (bytes, scratch))| {
                let first = i * task;
                let rows = task.min(rows - first);
                plan.run(Source::Raw(raw), first, rows, Sink::Heads { tiles, bytes }, scratch);
            },
        );
    }

    /// Attention, and the projection of what it gives.
    #[cfg(target_arch = "x86_64")]
    fn attend(&self, tiles: &InTiles, packed: &[u8], x: &mut [f32], workspace: &mut Workspace) {
        let Self { level, out: weights, narrow, .. } = *self;
        let spec = weights.spec();
        let (k, n) = (spec.k, spec.n);
        let rows = self.shape.rows;
        let plan = Plan::new(level, weights, narrow, rows).in_tasks_of(tiles.task_rows(), rows);
        let task = plan.task;
        let mut attended = std::mem::take(&mut workspace.attended);
        attended
            .get::<f32>(plan.tasks * task * k)
            .par_chunks_mut(task * k)
            .zip(x.par_chunks_mut(task * n))
            .zip(plan.scratch(workspace))
            .enumerate()
            .for_each(|(i, ((attended, c), scratch))| {
                let rows = c.len() / n;
                let out = &mut attended[..rows * k];
                level.run(Attend { shape: tiles, packed, first: i * task, out });
                let a = Rows { elements: &*attended, stride: k };
                let raw = Raw { rows: a, norm: None, scaling: Scales::OfRows };
                plan.run(Source::Raw(raw), 0, rows, Sink::Rows { c, add: true }, scratch);
            });
        workspace.attended = attended;
    }

    fn one_by_one(&self, x: &mut [f32], workspace: &mut Workspace) -> Result<(), CpuError> {
        let Self { level, qkv, out, norm, shape, narrow } = *self;
        let Attention { d_model: d, rows, .. } = *shape;
        let mut heads = std::mem::take(&mut workspace.qkv);
        let mut attended = std::mem::take(&mut workspace.attended);
        let (qkv_rows, results) = (heads.get::<f32>(3 * rows * d), attended.get::<f32>(rows * d));
        let a = Rows { elements: &*x, stride: d };
        let (weights, output, scales) = (qkv, Output::Store, None);
        Matmul { level, weights, a, rows, norm: Some(norm), scales, output, narrow }
            .run(qkv_rows, workspace);
        let attention = shape.run(level, qkv_rows, results, workspace);
        let a = Rows { elements: &*results, stride: d };
        let (weights, output) = (out, Output::Add);
        Matmul { level, weights, a, rows, norm: None, scales, output, narrow }.run(x, workspace);
        (workspace.qkv, workspace.attended) = (heads, attended);
        attention
    }
}
