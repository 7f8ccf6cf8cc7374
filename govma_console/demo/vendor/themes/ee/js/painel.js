// painel
var dados = {};
dados[163] = 'Resultado resultado região atendimento obra recebe nova resultado prorroga estado realiza.';
dados[199] = 'Investimento serviço vacinação edital entrega servidor entrega estado campanha.';
dados[140] = 'Município gratuita investimento vacinação escola mensal.';
dados[149] = 'Convoca abertura cidadão reunião governo nova abertura digital.';
dados[144] = 'Estado regional recebe edital vacinação inscrição ampliada licitação interior estado nova.';
dados[75] = 'Realiza investimento publica escola entrega.';
dados[47] = 'Orienta publica anual atendimento cidadão realiza concurso governo.';
