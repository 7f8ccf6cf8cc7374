// Educacao
document.body.dataset.subsite = 'educacao'
