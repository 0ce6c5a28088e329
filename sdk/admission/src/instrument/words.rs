//! What a module may name when it calls its host: attributes of the request, and services of the mesh.
//!
//! A path of an attribute that the host does not know is a name in filter state, where policies keep what they told
//! routes and logs; so the roots are listed that are none of its. A name of a cluster leads to whatever the sidecar can
//! reach, the control plane and the application behind the policies among it, or, for gRPC, is a message of its own
//! that names any address; so it must begin as the clusters of services do, and have no byte that such a message needs.
//! Whoever uses the module says which services those are: see [`super::limit_calls`].

use chancery_sdk_abi::Status;
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, MemArgTarget};

/// What paths of attributes begin with that are about the request and its connections.
const ROOTS: [&str; 11] = [
    "request",
    "response",
    "connection",
    "source",
    "destination",
    "upstream",
    "xds",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "connection_id",
];

/// What names of clusters begin with that lead to services of the mesh.
pub(crate) const SERVICES: &str = "mesh/";
/// Bytes of such names: those of text, without spaces.
const NAME_BYTES: std::ops::RangeInclusive<u8> = 0x21..=0x7e;

/// The parameters that say where words are.
const WORDS: u32 = 0;
const LENGTH: u32 = 1;

fn byte_at(offset: usize) -> MemArg {
    MemArg { offset: offset as u64, align: 0, target: MemArgTarget::default(), ordering: None }
}

/// Goes on if the path begins with one of the roots; otherwise there is nothing of that name.
pub(crate) fn only_attributes(function: &mut Function) {
    let mut code = function.instructions();
    code.block(BlockType::Empty);
    for root in ROOTS {
        code.block(BlockType::Empty);
        begins_with(&mut code, root);
        // It is the whole path, or a zero ends it.
        code.local_get(LENGTH).i32_const(root.len() as i32).i32_eq().br_if(1);
        code.local_get(WORDS).i32_load8_u(byte_at(root.len())).i32_eqz().br_if(1);
        code.end();
    }
    code.i32_const(Status::NotFound.number()).return_().end();
}

/// Goes on if the name is that of a cluster of the mesh; otherwise there is no such cluster. Both locals are written to.
pub(crate) fn only_services(function: &mut Function, at: u32, end: u32) {
    let mut code = function.instructions();
    let (least, most) = (i32::from(*NAME_BYTES.start()), i32::from(*NAME_BYTES.end()));
    code.block(BlockType::Empty).block(BlockType::Empty);
    begins_with(&mut code, SERVICES);
    code.local_get(WORDS).local_tee(at).local_get(LENGTH).i32_add().local_set(end);
    // A name that goes round the end of the memory is none; reading the others ends where the memory does.
    code.local_get(end).local_get(at).i32_lt_u().br_if(0);
    code.loop_(BlockType::Empty);
    code.local_get(at).local_get(end).i32_eq().br_if(2);
    code.local_get(at)
        .i32_load8_u(byte_at(0))
        .i32_const(least)
        .i32_sub()
        .i32_const(most - least)
        .i32_gt_u()
        .br_if(1);
    code.local_get(at).i32_const(1).i32_add().local_set(at);
    code.br(0).end().end();
    code.i32_const(Status::BadArgument.number()).return_().end();
}

/// Goes on if the name is that of one of these clusters; otherwise there is no such cluster.
pub(crate) fn only_clusters(code: &mut InstructionSink<'_>, clusters: &[String]) {
    code.block(BlockType::Empty);
    for cluster in clusters {
        code.block(BlockType::Empty);
        begins_with(code, cluster);
        code.local_get(LENGTH).i32_const(cluster.len() as i32).i32_eq().br_if(1);
        code.end();
    }
    code.i32_const(Status::BadArgument.number()).return_().end();
}

/// Leaves the innermost block unless the words begin with these.
fn begins_with(code: &mut InstructionSink<'_>, words: &str) {
    code.local_get(LENGTH).i32_const(words.len() as i32).i32_lt_u().br_if(0);
    for (offset, byte) in words.bytes().enumerate() {
        code.local_get(WORDS).i32_load8_u(byte_at(offset)).i32_const(i32::from(byte)).i32_ne().br_if(0);
    }
}
