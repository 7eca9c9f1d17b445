"""Defines the families whose published weights have the names of Hugging Face's `transformers`.

What a file of here computes is what that library computes from the same weights. Linear layers have
its layout, `{'weight': [out, in], 'bias': [out]}`; all else is as in the other families.
"""
