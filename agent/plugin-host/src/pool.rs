//! The engine, and the room that its instances are made in.
//!
//! To map a fresh instance's memory and to unmap it again costs a third of a small call, all of it in the kernel, with the whole process
//! held up. So the address space for as many calls as can be under way is had once, and an instance that ends gives its place back
//! emptied: wasmtime's pooling allocator. What a guest wrote is gone with its call; a bit of each place stays resident, overwritten.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::engine::HostError;
use crate::limits::{CALLS_MAX, INSTANCES_MAX, MEMORIES_MAX, STACK_BYTES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};

/// Of an instance's memory and of each table: overwritten, not given back to the kernel, when it ends.
const STAYS_BYTES: usize = 64 * 1024;
/// Places that nobody uses and that keep what their last instance began with.
const WARM_MAX: u32 = 4;

/// The engine that runs plugins. Where the kernel gives no address space beforehand (`ulimit -v`), instances have theirs one by one.
pub(crate) fn engine() -> Result<Engine, HostError> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    Engine::new(&config).or_else(|_| compiler())
}

/// The engine that only compiles: what it makes, [`engine`] maps.
pub(crate) fn compiler() -> Result<Engine, HostError> {
    Engine::new(&config()).map_err(|error| HostError::Engine(error.to_string()))
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_component_model(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        // What nobody reads would lie in memory with each plugin: where in its source an instruction comes from, and tables by which
        // native debuggers unwind. Together they are larger than the code.
        .generate_address_map(false)
        .native_unwind_info(false)
        .cranelift_opt_level(wasmtime::OptLevel::SpeedAndSize);
    config
}

/// As many places as [`CALLS_MAX`] components of the largest kind need, so nobody waits for one.
fn pool() -> PoolingAllocationConfig {
    let each = |most: usize| u32::try_from(most).unwrap_or(u32::MAX);
    let all = |most: usize| each(most.saturating_mul(CALLS_MAX));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(each(CALLS_MAX))
        .total_core_instances(all(INSTANCES_MAX))
        .max_core_instances_per_component(each(INSTANCES_MAX))
        .total_memories(all(MEMORIES_MAX))
        .max_memories_per_component(each(MEMORIES_MAX))
        .total_tables(all(TABLES_MAX))
        .max_tables_per_component(each(TABLES_MAX))
        .max_tables_per_module(each(TABLES_MAX))
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(STAYS_BYTES)
        .table_keep_resident(STAYS_BYTES)
        .max_unused_warm_slots(WARM_MAX);
    pool
}
