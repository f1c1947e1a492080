//! The maps of live associations (for their layout see [`ntpguard_common::abi`]), as an [`AssociationState`].

use crate::policy;
use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use ntpguard_common::{
    AssociationState,
    abi::{Learning, SLOTS},
    associations::{Set, Template},
    hash::Seed,
};

#[btf_map]
static TEMPLATES: Array<[u32; 3], { SLOTS as usize }> = Array::new();

/// The loader may write, too: it knows of associations that began before this program did.
#[btf_map]
static ASSOCIATIONS: Array<Set, { Set::COUNT as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
static LEARNING: Array<Learning, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The maps, as an [`AssociationState`].
pub(crate) struct Associations;

impl AssociationState for Associations {
    #[inline(always)]
    fn seed(&self, slot: u32) -> Option<Seed> {
        policy::limits(slot).map(|limits| limits.seed)
    }

    #[inline(always)]
    fn template(&self, slot: u32) -> Option<Template> {
        TEMPLATES.get(slot).map(|words| Template::from_words(*words))
    }

    #[inline(always)]
    fn associations(&self, key: u64) -> Option<&Set> {
        ASSOCIATIONS.get(Set::number(key))
    }

    #[inline(always)]
    fn learning(&self) -> Option<&Learning> {
        LEARNING.get(0)
    }
}
